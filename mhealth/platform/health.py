"""What a running service needs, each checked the way it is used. Nothing here imports torch."""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mhealth.platform import crypto, media
from mhealth.platform.models import DataKey

BROKER_TIMEOUT_S = 1.0
MODELS = ("face", "voice")
PERMISSIVE = "permissive"  # in place of a folder of checkpoints (emotion.checkpoint)


class Missing(Exception):
    """Something the service cannot do without; the text says what and how to mend it, and holds no secret."""


def check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as fault:
        raise Missing(f"the database does not answer ({type(fault).__name__}): look at DATABASE_URL") from fault
    return connection.vendor


def check_migrations() -> str:
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as fault:
        raise Missing("migrations cannot be read from the database") from fault
    if waiting:
        raise Missing(f"{len(waiting)} migrations are not applied: run `manage.py migrate`")
    return "applied"


def check_master_key() -> str:
    """A key that does not open what is stored would make every person's data unreadable."""
    try:
        newest = DataKey.objects.exclude(wrapped=None).order_by("-created_at").first()
        if newest:
            newest.seal(b"", "doctor")
    except crypto.CannotOpen as wrong:
        raise Missing("MASTER_KEY does not open the stored keys: set the one they were wrapped with") from wrong
    except DatabaseError as fault:
        raise Missing("keys cannot be read from the database") from fault
    return "opens the stored keys" if newest else "set; no key is stored yet"


def check_broker() -> str:
    if not settings.CELERY_BROKER_URL:
        return "none: this process does the work in a thread"
    try:
        with current_app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, timeout=BROKER_TIMEOUT_S)
    except (OSError, OperationalError) as fault:
        raise Missing(f"the broker does not answer ({type(fault).__name__}): look at CELERY_BROKER_URL") from fault
    return "reachable"


def check_media_store() -> str:
    try:
        store = media.store()
        store.delete(store.put(b"probe"))
    except OSError as fault:
        raise Missing(f"the media store cannot be written ({type(fault).__name__}): look at MEDIA_STORE_URL") from fault
    return "writable"


READY = {
    "database": check_database,
    "migrations": check_migrations,
    "master key": check_master_key,
    "broker": check_broker,
    "media store": check_media_store,
}


MORE: dict[str, Callable[[], str]] = {}


def also_check(what: str, check: Callable[[], str]) -> None:
    """A room above wants the doctor to look at this too; it keeps no process from serving."""
    MORE[what] = check


def check_cache() -> str:
    """Not needed to be ready: throttles fail open without it."""
    if not settings.CACHES["default"].get("LOCATION"):
        return "in this process"
    try:
        cache._cache.get_client().ping()
    except RedisError as fault:
        raise Missing(f"the cache does not answer ({type(fault).__name__}): look at CACHE_URL") from fault
    return "reachable"


def check_model(name: str) -> str:
    """The recogniser's checkpoint is whole and its card names a licence; the weights are not loaded."""
    weights = checkpoint_folder() / f"{name}.safetensors"
    card_file = weights.with_suffix(".json")
    if settings.EMOTION_CHECKPOINTS == PERMISSIVE and not weights.exists():
        return "none that may be used for everything: these check-ins are not read"
    if not weights.exists() or not card_file.exists():
        raise Missing(f"no model in {weights.parent}: look at EMOTION_CHECKPOINTS, or train one")
    try:
        card = json.loads(card_file.read_text())
    except ValueError as broken:
        raise Missing(f"{card_file} is not JSON") from broken
    if hashlib.sha256(weights.read_bytes()).hexdigest() != card.get("sha256"):
        raise Missing(f"{weights} does not have the SHA-256 that its card names")
    version = card.get("version") or card["sha256"][:12]
    return f"{version}, licence: {card.get('licence') or card.get('license') or 'not named in its card'}"


def checkpoint_folder() -> Path:
    """Of face and voice, as `emotion.checkpoint.find` has it while no shipped one of them is free."""
    shipped = Path(importlib.util.find_spec("emotion").submodule_search_locations[0]) / "checkpoints"
    if settings.EMOTION_CHECKPOINTS == PERMISSIVE:
        return shipped / PERMISSIVE
    return Path(settings.EMOTION_CHECKPOINTS or shipped)


def findings() -> Iterator[tuple[str, bool, str]]:
    """(what, whether it is there, a line about it), for everything that `doctor` looks at."""
    checks = {**READY, "cache": check_cache} | {f"{name} model": lambda name=name: check_model(name) for name in MODELS}
    checks |= MORE
    for what, check in checks.items():
        try:
            yield what, True, check()
        except Missing as missing:
            yield what, False, str(missing)
        except DatabaseError as fault:  # said in full by the check of the database itself
            yield what, False, f"cannot be read from the database ({type(fault).__name__})"


def missing() -> list[str]:
    """What keeps this process from serving."""
    absent = []
    for what, check in READY.items():
        try:
            check()
        except Missing:
            absent.append(what)
    return absent
