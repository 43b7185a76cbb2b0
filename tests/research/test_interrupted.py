"""A process that dies in the middle of an export leaves nothing that could be taken for one."""

from datetime import timedelta
from pathlib import Path

import pytest
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
    left = Path(services._workshop_of("0" * 32))
    left.mkdir()
    export = services.ask(trial=story, user=rae, reason="analysis", status="running")
    Export.objects.filter(pk=export.pk).update(queued_at=timezone.now() - timedelta(days=8))
    services.tidy()
    assert not left.exists()
    assert Export.objects.get().status == "quarantined"


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
