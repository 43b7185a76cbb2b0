import io
import uuid
import zipfile

import pytest
from django.core import signing

from mhealth.platform import embedded, media
from mhealth.platform.models import AuditEvent
from mhealth.research import services, tasks
from mhealth.research.models import Export
from tests import factories as people

pytestmark = pytest.mark.django_db
URL = "/api/v1/research/exports/"
ASK = {"trial": "calm-1", "reason": "primary analysis"}


@pytest.fixture(autouse=True)
def no_old_hints():
    while not embedded._hints.empty():
        embedded._hints.get_nowait()


def test_an_export_is_asked_for_built_and_downloaded(phone, story, rae, tmp_path):
    desk = phone(rae)
    asked = desk.post(URL, ASK)
    assert (asked.status_code, asked.json()["status"]) == (202, "queued")
    one = f"{URL}{asked.json()['id']}/"
    assert desk.get(one).json()["link"] is None
    embedded.run_pending()
    done = desk.get(one).json()
    assert (done["status"], done["reason"]) == ("done", "primary analysis")
    stranger = phone()  # a browser without our session: the link is enough
    answer = stranger.get(done["link"])
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    content = answer.getvalue()
    assert len(content) == int(answer["Content-Length"]) == done["size"]
    archive = zipfile.ZipFile(io.BytesIO(content))
    folder = tmp_path / "out"
    services.export_to(trial=story, user=rae, reason="the same", folder=folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: archive.read(name) for name in archive.namelist()} == files
    assert AuditEvent.objects.get(action="research.export_taken").actor == str(rae.pk)
    assert stranger.get(done["link"]).getvalue() == content


def test_the_file_lies_sealed(phone, story, rae):
    phone(rae).post(URL, ASK)
    embedded.run_pending()
    assert b"".join(Export.objects.get().pieces()).startswith(b"PK")
    assert b"manifest" not in media.store("research").get(Export.objects.get().file)


def test_a_link_expires_and_fits_one_export_only(phone, story, rae, monkeypatch):
    for _ in range(2):
        phone(rae).post(URL, ASK)
    embedded.run_pending()
    first, second = (phone(rae).get(f"{URL}{export.pk}/").json() for export in Export.objects.all())
    assert phone().get(first["link"]).status_code == 200
    assert phone().get(first["link"].replace(first["id"], second["id"])).status_code == 404
    assert phone().get(first["link"].split("?")[0]).status_code == 404
    later = signing.time.time() + Export.LINK_LASTS.total_seconds() + 1
    monkeypatch.setattr(signing.time, "time", lambda: later)
    late = phone().get(first["link"])
    assert (late.status_code, late.json()["type"]) == (410, "urn:mhealth:problem:link-expired")


def test_a_link_ends_with_the_membership(phone, story, rae):
    phone(rae).post(URL, ASK)
    embedded.run_pending()
    link = phone(rae).get(f"{URL}{Export.objects.get().pk}/").json()["link"]
    assert phone().get(link).status_code == 200
    rae.memberships.all().delete()
    assert phone().get(link).status_code == 404


def test_only_researchers_of_the_study_export(phone, story, rae, tom, ada, carol):
    olaf = people.member("olaf", "researcher", people.study("other"))
    assert phone(rae).post(URL, ASK).status_code == 202
    one = f"{URL}{Export.objects.get().pk}/"
    assert phone(olaf).post(URL, ASK).json()["type"] == "urn:mhealth:problem:not-found"
    assert phone(olaf).get(one).status_code == 404
    assert phone(olaf).delete(one).status_code == 404
    assert phone(olaf).get(URL).json()["results"] == []
    assert [row["reason"] for row in phone(rae).get(URL).json()["results"]] == ["primary analysis"]
    for user in (tom, ada, carol):
        assert phone(user).post(URL, ASK).status_code == 403
        assert phone(user).get(one).status_code == 403
    assert phone().get(one).status_code == 401


def test_an_unknown_trial_or_no_reason_is_refused_by_name(phone, story, rae):
    assert phone(rae).post(URL, ASK | {"trial": "nowhere"}).status_code == 404
    refused = phone(rae).post(URL, {"trial": "calm-1"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/reason")
    assert phone(rae).get(f"{URL}{uuid.uuid4()}/").status_code == 404
    assert not Export.objects.exists()


def test_a_deleted_export_is_gone_with_its_file(phone, story, rae):
    phone(rae).post(URL, ASK)
    embedded.run_pending()
    export = Export.objects.get()
    link = phone(rae).get(f"{URL}{export.pk}/").json()["link"]
    assert phone(rae).delete(f"{URL}{export.pk}/").status_code == 204
    assert phone().get(link).status_code == 404
    assert list(media.store("research").names()) == []
    assert AuditEvent.objects.filter(action="research.export_deleted", subject=export.subject).exists()


def test_a_lost_hint_is_found_again_and_old_files_go(phone, story, rae):
    phone(rae).post(URL, ASK)
    embedded._hints.get_nowait()  # lost
    tasks.sweep_exports()
    embedded.run_pending()
    export = Export.objects.get()
    assert export.status == "done"
    Export.objects.update(finished_at=export.finished_at - Export.KEPT)
    tasks.sweep_exports()
    shown = phone(rae).get(f"{URL}{export.pk}/").json()
    assert (shown["status"], shown["link"]) == ("done", None)
    assert list(media.store("research").names()) == []


def test_building_twice_makes_one_file(phone, story, rae):
    phone(rae).post(URL, ASK)
    for _ in range(2):
        tasks.build_export(export_id=str(Export.objects.get().pk))
    assert len(list(media.store("research").names())) == 1
    assert AuditEvent.objects.filter(action="research.exported").count() == 1
