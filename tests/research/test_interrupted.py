"""A process that dies in the middle of an export leaves nothing that could be taken for one."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection
from django.utils import timezone

from mhealth.platform import embedded
from mhealth.research import ndjson, services, tasks, vault
from mhealth.research.models import Export
from tests.research.conftest import rows

pytestmark = pytest.mark.django_db
URL = "/api/v1/research/exports/"


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def die(*_given: object) -> None:
    raise Killed


def test_a_worker_that_died_is_replaced_and_its_half_package_is_cleared_away(phone, story, rae):
    export_id = phone(rae).post(URL, {"trial": "calm-1", "reason": "analysis"}).json()["id"]
    embedded._hints.get_nowait()
    export = Export.objects.take(export_id)  # what kill -9 leaves: a lease, a folder, an unfinished file
    workshop = services._workshop_of(export_id)
    (workshop / "files").mkdir(parents=True)
    (workshop / "files" / "people.csv").write_text("half")
    unfinished = vault.store().folder / "ab" / "abandoned.part"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half")
    shown = phone(rae).get(f"{URL}{export_id}/").json()
    assert (shown["status"], shown["link"], shown["sha256"]) == ("running", None, "")
    Export.objects.filter(pk=export.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep_exports()
    embedded.run_pending()
    done = phone(rae).get(f"{URL}{export_id}/").json()
    assert (done["status"], done["progress"]) == ("done", 100)
    assert phone().get(done["link"]).getvalue().startswith(b"PK")
    assert not workshop.exists()
    assert len(list(vault.store().names())) == 1, "the unfinished file is not offered"


def test_what_a_dead_process_left_is_tidied_away(story, rae):
    export = services.ask(trial=story, user=rae, reason="analysis", status="running")
    left = services._workshop_of(services.ask(trial=story, user=rae, reason="analysis", status="quarantined").pk)
    left.mkdir()
    Export.objects.filter(pk=export.pk).update(queued_at=timezone.now() - timedelta(days=8))
    services.tidy()
    assert not left.exists()
    export.refresh_from_db()
    assert export.status == "quarantined"


def test_a_folder_of_another_installation_stays_until_it_is_old(db, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fresh, old = (tmp_path / f"mhealth-export-{uuid.uuid4()}" for _ in range(2))
    for folder in (fresh, old):
        folder.mkdir()
    os.utime(old, (0, time.time() - 8 * 86_400))
    services.tidy()
    assert (fresh.exists(), old.exists()) == (True, False)


def test_a_command_that_died_leaves_no_package_and_the_next_one_a_whole_one(export, story, tmp_path, monkeypatch):
    with monkeypatch.context() as once:
        once.setattr(ndjson, "write", die)
        with pytest.raises(Killed):
            export("out")
    assert not (tmp_path / "out").exists()
    assert Export.objects.get().status == "quarantined"
    assert rows(export("out"), "people")
    assert sorted(path.name for path in tmp_path.glob(".out*")) == []


def test_a_changed_or_shortened_file_is_not_given_out(phone, story, rae):
    phone(rae).post(URL, {"trial": "calm-1", "reason": "analysis"})
    embedded.run_pending()
    export = Export.objects.get()
    path = vault.store()._path(export.file)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(services.vault.CannotOpen):
        b"".join(export.pieces())


DJANGO = "import sys, time, django; django.setup()\nfrom mhealth.research import ndjson, services, tasks\n"
DYING = """
whole = ndjson.write
def write(cohort, folder):
    whole(cohort, folder)
    print(folder, flush=True)
    time.sleep(600)
ndjson.write = write
tasks.build_export(export_id=sys.argv[1])
"""
FOLLOWING = """
from mhealth.research.models import Export
Export.objects.filter(pk=sys.argv[1]).update(leased_until="2020-01-01T00:00:00Z")  # nobody waits for its end here
tasks.sweep_exports()
tasks.build_export(export_id=sys.argv[1])
export = Export.objects.get()
print(export.status, export.attempts)
open(sys.argv[2], "wb").writelines(export.pieces())
"""


def database_of_the_test(folder: Path) -> str:
    """The address by which another process reaches what the test has committed: on SQLite a copy of its file."""
    if connection.vendor == "sqlite":
        shared = sqlite3.connect(folder / "shared.sqlite3")
        connection.connection.backup(shared)
        shared.close()
        return f"sqlite:///{folder}/shared.sqlite3"
    at = {name: quote(str(value), safe="") for name, value in connection.settings_dict.items()}
    return f"postgresql://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT'] or 5432}/{at['NAME']}"


@pytest.mark.django_db(transaction=True)  # other processes see what is committed
def test_after_kill_9_the_next_process_starts_anew_and_makes_the_same_package(story, rae, export, tmp_path):
    asked = services.ask(trial=story, user=rae, reason="analysis")
    ours = {"DATABASE_URL": database_of_the_test(tmp_path), "MEDIA_STORE_URL": f"file://{tmp_path}/media"}
    ours |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "TMPDIR": str(tmp_path)}

    def start(code: str, *given: object) -> subprocess.Popen:
        command = [sys.executable, "-c", DJANGO + code, str(asked.pk), *map(str, given)]
        return subprocess.Popen(command, env=os.environ | ours, stdout=subprocess.PIPE, text=True)

    with start(DYING) as dying:
        half = Path(dying.stdout.readline().strip())
        dying.send_signal(signal.SIGKILL)
    assert dying.returncode == -signal.SIGKILL
    assert (half / "answers_long.csv").exists()
    assert not (half / "manifest.json").exists()
    assert list((tmp_path / "media").rglob("*.part")) == list(vault.store().names()) == []
    following = start(FOLLOWING, tmp_path / "package.zip")
    assert following.communicate(timeout=60)[0].split() == ["done", "2"]
    assert not half.exists()
    with zipfile.ZipFile(tmp_path / "package.zip") as package:
        assert package.read("manifest.json") == (export("undisturbed") / "manifest.json").read_bytes()
