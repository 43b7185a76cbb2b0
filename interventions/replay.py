"""Make a decision again from its record, and say what differs."""

import hashlib
import json

from interventions import policies
from interventions.context import Snapshot
from interventions.models import Decision, ModelVersion, Version
from mhealth.platform.crypto import CannotOpen
from mhealth.platform.leases import WorkStatus
from recommender.catalogue import Activity as Described
from recommender.policy import Candidate, UnreplayableRecord, differences

SCORE_TOLERANCE = 1e-6


class Unreplayable(Exception):
    """Something that the decision names is gone; the message says what."""


def found_differences(decision: Decision) -> list[str]:
    """What a replay does not reproduce; empty when it is identical. Raises InputsErased or Unreplayable."""
    record = _record_of(decision)
    choice = record["choice"]
    inputs = json.dumps(record["snapshot"], sort_keys=True, separators=(",", ":"))
    try:
        different = [f"choice: {name}" for name in differences(choice)]
    except UnreplayableRecord as problem:
        raise Unreplayable(str(problem)) from problem
    if hashlib.sha256(inputs.encode()).hexdigest() != record["snapshot_sha256"]:
        different.append("context snapshot: not the one that was hashed")
    if choice["activity"] != (decision.version.activity.key if decision.version else None):
        different.append("activity: the row and its record name different ones")
    return different + _texts(record) + (_scores(record) if record["model"] else [])


def _record_of(decision: Decision) -> dict:
    if decision.status != WorkStatus.DONE:
        raise Unreplayable("it has not been made yet")
    try:
        return decision.record
    except CannotOpen as problem:
        raise Unreplayable("its record does not open: it was changed or moved") from problem


def _texts(record: dict) -> list[str]:
    """Content versions that are gone or no longer say what they said."""
    now = {version.pk: version.digest for version in Version.objects.filter(pk__in=[v for v, _ in _pairs(record)])}
    return [f"version {pk}: text has changed" for pk, digest in _pairs(record) if now.get(pk) != digest]


def _pairs(record: dict) -> list[tuple[int, str]]:
    return [(pk, digest) for pk, digest in record["versions"].values()]


def _scores(record: dict) -> list[str]:
    """Score again with the model that the decision names."""
    version = ModelVersion.objects.filter(name=record["model"]).first()
    if version is None:
        raise Unreplayable(f"the model {record['model']} is not in the registry")
    choice = record["choice"]
    candidates = [Candidate(**{**c, "closed_by": tuple(c["closed_by"])}) for c in choice["candidates"]]
    catalogue = [Described(a["id"], a["technique"], tuple(a["tags"]), a["attributes"]) for a in record["activities"]]
    try:
        scores, deviations = policies.score(version, catalogue, candidates, Snapshot.from_dict(record["snapshot"]))
    except policies.ModelUnavailable as gone:
        raise Unreplayable(f"the files of {record['model']} are gone or have changed") from gone
    then = [*choice["scores"], *choice["scores_sd"]]
    apart = [n for n, (a, b) in enumerate(zip(then, [*scores, *deviations], strict=True)) if not _equal(a, b)]
    return [f"scores: {len(apart)} of {len(then)} differ by more than {SCORE_TOLERANCE:g}"] if apart else []


def _equal(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else abs(a - b) <= SCORE_TOLERANCE
