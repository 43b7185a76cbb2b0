"""What leaves only after unblinding, and what leaves only when a second person agrees."""

import json

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils import timezone

from interventions import services as interventions
from mhealth.checkins import reliability
from mhealth.platform import embedded
from mhealth.platform.models import AuditEvent
from mhealth.research import registry, services, tasks
from mhealth.research.apps import IDENTITIES
from mhealth.research.cohort import Cohort, pseudonym
from mhealth.research.models import Export
from mhealth.research.restricted import CANDIDATES, DECISIONS, RELIABILITY, WEIGHTS
from tests import factories as people
from tests.interventions import factories as content
from tests.research.conftest import check_in, only, rows, unblind

pytestmark = pytest.mark.django_db
URL = "/api/v1/research/exports/"
ASK = {"trial": "calm-1", "reason": "linkage", "identifiable": True}
OPENED = (DECISIONS, CANDIDATES, WEIGHTS, RELIABILITY)


@pytest.fixture(autouse=True)
def no_old_hints():
    while not embedded._hints.empty():
        embedded._hints.get_nowait()


@pytest.fixture
def trusted(rae):
    """rae, whom an operator lets ask for identities."""
    rae.groups.add(Group.objects.get(name=IDENTITIES))
    return rae


@pytest.fixture
def decided(story, ada, carol, eve, finn):
    """A decision of ada, made by the trial's own policy, and a correction learnt from."""
    ada.decisions.all().delete()  # of the story, without a record: nothing is left of what it was made from
    for key in ("five-senses", "one-pleasant-thing"):
        content.publish(content.draft(content.activity(key), carol), carol, [eve, finn])
    decision = interventions.decide(participant=ada, moment="asked:now", at=timezone.now())
    reliability.relearn(ada)
    return decision


def test_nothing_of_a_policy_leaves_before_unblinding(export, decided):
    folder = export()
    assert [table.name for table in OPENED if (folder / f"{table.name}.csv").exists()] == []
    codebook = (folder / "codebook.csv").read_text()
    assert [word for word in ("propensity", "policy", "weight", "accuracy", "model,") if word in codebook] == []
    record = decided.record
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert record["choice"]["policy"].encode() not in everything


def test_after_unblinding_decisions_leave_with_their_probabilities(export, decided, story, ada):
    unblind(story)
    folder, who = export(), pseudonym(story.study, ada)
    choice = decided.record["choice"]
    row = only(folder, "decisions", person=who, moment="asked", decision="1")
    assert row["policy"] == ada.enrolments.get().read_arm().policy
    assert row["decided_by"] == choice["policy"]
    assert (float(row["propensity"]), float(row["send_probability"])) == (choice["propensity"], 1.0)
    assert (row["activity"], row["outcome"]) == (choice["activity"], "offered")
    candidates = [each for each in rows(folder, "candidates") if each["person"] == who]
    assert [each["activity"] for each in candidates] == [each["activity"] for each in choice["candidates"]]
    assert sum(float(each["probability"]) for each in candidates) == pytest.approx(1)
    assert {each["weight"] for each in rows(folder, "weights")} == {"1.0"}
    learnt = only(folder, "reliability", person=who, modality="face")
    state = reliability.of(ada)
    assert float(learnt["accuracy"]) == state.accuracy("face")
    assert learnt["labels"] == "1"


def test_registry_and_files_agree_after_unblinding_too(export, decided, story):
    unblind(story)
    folder = export()
    tables = registry.tables(Cohort(story).versions, unblinded=True)
    assert set(OPENED) < set(tables)
    assert {path.stem for path in folder.glob("*.parquet")} == {table.name for table in tables}
    for table in OPENED:
        written = rows(folder, table.name)
        assert list(written[0]) == table.names
        assert len({tuple(row[name] for name in table.key) for row in written}) == len(written)


def test_identities_need_a_permission_of_their_own(phone, story, rae):
    refused = phone(rae).post(URL, ASK)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:mhealth:problem:identities-not-allowed")
    assert not Export.objects.exists()
    rae.groups.add(Group.objects.get(name=IDENTITIES))
    assert phone(rae).post(URL, ASK).json()["status"] == "awaiting_approval"


def test_identities_leave_when_a_second_person_agrees(phone, story, trusted, tom, ada):
    export_id = phone(trusted).post(URL, ASK).json()["id"]
    one = f"{URL}{export_id}/"
    embedded.run_pending()
    tasks.sweep_exports()
    tasks.build_export(export_id=export_id)
    waiting = phone(trusted).get(one).json()
    assert (waiting["status"], waiting["link"]) == ("awaiting_approval", None)
    shown = phone(tom).get(f"{one}approval/").json()
    assert (shown["asked_by"], shown["reason"]) == (trusted.email, "linkage")
    agreed = phone(tom).post(f"{one}approval/", {"approve": True})
    assert (agreed.status_code, agreed.json()["status"]) == (200, "queued")
    embedded.run_pending()
    done = phone(trusted).get(one).json()
    assert done["status"] == "done"
    package = b"".join(Export.objects.get().pieces())
    assert b"identities.csv" in package
    again = phone(tom).post(f"{one}approval/", {"approve": False})
    assert (again.status_code, again.json()["type"]) == (409, "urn:mhealth:problem:already-decided")
    actions = AuditEvent.objects.filter(subject=f"research.Export/{export_id}").values_list("action", flat=True)
    assert set(actions) == {"research.export_asked", "research.export_approved", "research.exported"}


def test_a_refused_export_is_never_built(phone, story, trusted, tom):
    export_id = phone(trusted).post(URL, ASK).json()["id"]
    refused = phone(tom).post(f"{URL}{export_id}/approval/", {"approve": False})
    assert refused.json()["status"] == "refused"
    tasks.sweep_exports()
    embedded.run_pending()
    tasks.build_export(export_id=export_id)
    shown = phone(trusted).get(f"{URL}{export_id}/").json()
    assert (shown["status"], shown["link"]) == ("refused", None)


def test_nobody_agrees_to_their_own_export(phone, story, trusted, tom):
    trusted.groups.add(Group.objects.get(name="trial_manager"))
    export_id = phone(trusted).post(URL, ASK).json()["id"]
    assert phone(trusted).post(f"{URL}{export_id}/approval/", {"approve": True}).status_code == 404
    stranger = people.member("olga", "trial_manager", people.study("other"))
    assert phone(stranger).post(f"{URL}{export_id}/approval/", {"approve": True}).status_code == 404
    assert phone(tom).post(f"{URL}{export_id}/approval/", {"approve": True}).status_code == 200


def test_the_table_of_identities_says_who_people_are_and_the_others_do_not(story, trusted, tom, ada, tmp_path):
    export = services.ask(trial=story, user=trusted, reason="linkage", order=services.Order(identifiable=True))
    services.decide(export=export, by=tom, approve=True)
    services.package.write(story, tmp_path, services._order(export))
    row = only(tmp_path, "identities", person=pseudonym(story.study, ada))
    assert (row["email"], row["birth_year"], row["zone"]) == ("ada@example.org", "1990", "Europe/London")
    others = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.stem != "identities")
    assert b"ada@example.org" not in others
    marked = [each for each in rows(tmp_path, "codebook") if each["identifies"] == "true"]
    assert {each["table"] for each in marked} == {"identities"}
    assert (tmp_path / "README.txt").read_text().splitlines()[2].startswith("Identifiable data")


def test_the_command_writes_no_identities(story, trusted, tmp_path):
    call_command("export_trial", "calm-1", out=tmp_path / "a", by=trusted.email, reason="analysis")
    assert not (tmp_path / "a" / "identities.csv").exists()


def test_the_log_says_which_part_was_taken(phone, story, rae):
    sent = {"trial": "calm-1", "reason": "site report", "sites": ["south"], "formats": ["csv"]}
    assert phone(rae).post(URL, sent).status_code == 202
    embedded.run_pending()
    details = AuditEvent.objects.get(action="research.exported").details
    assert details["filters"] == {"formats": ["csv"], "sites": ["south"]}
    assert (details["reason"], details["identifiable"]) == ("site report", False)
    assert json.dumps(details["rows"]).isdigit()
    shown = phone(rae).get(f"{URL}{Export.objects.get().pk}/").json()
    assert (shown["progress"], shown["warning"][:8]) == (100, "1 people")
    refused = phone(rae).post(URL, sent | {"sites": ["atlantis"]})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:mhealth:problem:unknown-site")


def test_check_ins_of_an_open_trial_are_those_of_a_masked_one(export, story, ada):
    check_in(ada, 1)
    before = (export("before") / "check_ins.csv").read_text()
    letters = {row["person"]: row["arm"] for row in rows(export("again"), "people")}
    unblind(story)
    after = (export("after") / "check_ins.csv").read_text()
    names = {row["person"]: row["arm"] for row in rows(export("named"), "people")}
    who = pseudonym(story.study, ada)
    assert before.replace(f"{who},{letters[who]}", f"{who},{names[who]}") == after
