"""The second wall: on PostgreSQL the database itself gives each person's rows only to whom they concern."""

import ast
import io
import threading
import uuid
from pathlib import Path

import pytest
from celery import current_app
from django.apps import apps
from django.core.management import call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.utils import timezone

from interventions.models import CareChoice, DecisionEvent
from mhealth.checkins.models import CalibrationClip, CheckIn, Correction, Estimate, Part, PersonalReliability
from mhealth.people.models import DataExport, EnrolmentCode, FollowUp, Participant
from mhealth.people.registry import Room, rooms
from mhealth.platform import embedded, row_security
from mhealth.safety import services as safety
from mhealth.trials.models import Withdrawal
from tests import factories, roles
from tests.access import world
from tests.factories import phone
from tests.roles import run

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="row-level security is PostgreSQL's")


def registered_tables() -> list[str]:
    labels = {"people.Participant"} | {label for room in rooms.values() for label in room.covers}
    return sorted(apps.get_model(label)._meta.db_table for label in labels)


def walled_tables() -> set[str]:
    return {
        table
        for (table,) in run(
            "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid WHERE relrowsecurity"
            " AND relnamespace = current_schema()::regnamespace AND polcmd = '*'"
        )
    }


TABLES = registered_tables()


@pytest.fixture
def made():
    """The world of the access matrix, with a row of Ada's in every registered table and one of Ben's in most."""
    made = world.make()
    ada, ben = made.ada, made.people["other"].participant
    clinician, enrolment = made.people["clinician"], made.objects["enrolment"]
    for person in (ada, ben):
        check_in = CheckIn.objects.create(
            id=uuid.uuid4(), participant=person, recorded_at=timezone.now(), zone="UTC", digest="1" * 64
        )
        Part.objects.create(check_in=check_in, kind="text", media_type="text/plain", name="x", size=1)
        Estimate.objects.create(check_in=check_in, modality="face", reason="no_face")
        Correction.objects.create(check_in=check_in, labels=["fear"])
        CalibrationClip.objects.create(check_in=check_in, sealed=b"1")
        PersonalReliability.objects.create(participant=person, state={})
        FollowUp.objects.create(participant=person, scope="voice")
        DataExport.objects.create(participant=person)
        CareChoice.objects.create(participant=person, kind="pause")
        code = EnrolmentCode.objects.make(study=person.study, site="north")
        EnrolmentCode.objects.filter(digest=EnrolmentCode.digest_of(code)).update(used_by=person)
    DecisionEvent.objects.create(id=uuid.uuid4(), decision=made.objects["decision"], kind="shown", at=timezone.now())
    safety.move(event=made.objects["risk_event"], to_state="acknowledged", user=clinician)
    Withdrawal.objects.create(enrolment=enrolment, kind="stop")
    return made


def seen_by(user, table: str) -> set:
    """Primary keys of what a statement without any condition finds."""
    with row_security._acting(str(user.pk) if user else row_security.NOBODY):
        return {pk for (pk,) in run(f"SELECT id FROM {table}")}


def person_of(model) -> str:
    """Lookup path from a registered row to its participant."""
    if model is Participant:
        return "pk"
    for field in model._meta.concrete_fields:
        if field.is_relation and field.related_model in (Participant, *personal_models()):
            if field.related_model is Participant:
                return field.name
            return f"{field.name}__{person_of(field.related_model)}"
    raise AssertionError(model)


def personal_models() -> set:
    return {apps.get_model(label) for room in rooms.values() for label in room.covers}


def rows_of(person, table: str) -> set:
    """What is truly there of this person."""
    [model] = [model for model in {Participant, *personal_models()} if model._meta.db_table == table]
    return set(model._base_manager.filter(**{person_of(model): person.pk}).values_list("pk", flat=True))


@on_postgresql
def test_every_registered_table_has_the_wall():
    assert sorted(set(TABLES) - walled_tables()) == []


@on_postgresql
def test_a_table_that_is_registered_without_a_policy_is_found(monkeypatch):
    forgetful = Room(export=dict, erase=lambda person: None, covers=("platform.IdempotencyRecord",))
    monkeypatch.setitem(rooms, "attic", forgetful)
    assert sorted(set(registered_tables()) - walled_tables()) == ["platform_idempotencyrecord"]


@on_postgresql
def test_tests_run_as_a_role_that_neither_owns_nor_bypasses():
    [(role, is_super, bypasses)] = run(
        "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    )
    assert (role, is_super, bypasses) == (roles.SERVICE, False, False)
    owned = run("SELECT relname FROM pg_class WHERE pg_has_role(current_user, relowner, 'MEMBER') AND relkind = 'r'")
    assert owned == []
    assert all(run("SELECT row_security_active(%s::regclass)", table) == [(True,)] for table in TABLES)
    assert row_security.describe() == f"in force: {roles.SERVICE} sees the rows of whom it acts for"
    with roles.owning():
        assert row_security.describe().startswith("not in force: postgres owns the tables")


@on_postgresql
def test_each_caller_finds_their_own_people_in_every_table_and_nobody_elses(made):
    ben = made.people["other"].participant
    theirs = {
        "owner": [made.ada],
        "clinician": [made.ada],
        "manager": [made.ada, ben],
        "researcher": [made.ada, ben],
        "other": [ben],
        "other_clinician": [ben],
    }
    for table in TABLES:
        of_people = rows_of(made.ada, table) | rows_of(ben, table)
        assert rows_of(made.ada, table), f"{table}: without a row of Ada's nothing is shown"
        for caller, user in made.people.items():
            expected = set().union(*(rows_of(person, table) for person in theirs.get(caller, [])))
            if table == "people_enrolmentcode" and caller in ("reviewer", "operator"):
                expected = of_people  # who works on the study makes codes, and sees whether they were used
            assert seen_by(user, table) & of_people == expected, (caller, table)


@on_postgresql
def test_nobody_and_a_made_up_user_find_no_row_at_all(made):
    for table in TABLES:
        assert seen_by(None, table) == set()
        with row_security._acting(str(uuid.uuid4())):
            assert run(f"SELECT id FROM {table}") == []
        assert len(run(f"SELECT id FROM {table}")) > 0, "everybody's"


@on_postgresql
def test_another_persons_rows_can_be_neither_changed_nor_deleted_nor_put_in(made):
    event = made.objects["risk_event"]
    with row_security._acting(str(made.people["other"].pk)), connection.cursor() as cursor:
        cursor.execute("UPDATE safety_riskevent SET state = 'closed'")
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM safety_riskevent")
        assert cursor.rowcount == 0
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            cursor.execute(
                "INSERT INTO people_followup (participant_id, scope, delete_media, said_at, followed, fault)"
                " VALUES (%s, 'voice', true, now(), '[]', '')",
                [made.ada.pk],
            )
    event.refresh_from_db()
    assert event.state == "acknowledged"


@on_postgresql
def test_only_an_account_with_the_role_gets_what_the_role_gives(made):
    clinician = made.people["clinician"]
    assert made.ada.pk in seen_by(clinician, "people_participant")
    clinician.groups.clear()
    assert seen_by(clinician, "people_participant") == set()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_request_as_the_role_that_signed_in_leaves_nothing_behind_on_its_connection():
    team = factories.care_team(factories.study())
    ada, ben = factories.participant(team, "ada"), factories.participant(team, "ben")
    asks, at = phone(ada), connection.settings_dict
    owner = {name: at[name] for name in ("USER", "PASSWORD")}
    connection.close()
    connections["default"].settings_dict.update(USER=roles.SERVICE, PASSWORD=roles.PASSWORD)
    try:
        with row_security._acting(row_security.NOBODY):
            answer = asks.get("/api/v1/me/")
            assert answer.status_code == 200
            with connection.connection.cursor() as next_request:
                next_request.execute("SELECT session_user, current_setting('mhealth.actor', true)")
                assert next_request.fetchone() in ((roles.SERVICE, ""), (roles.SERVICE, None))
                next_request.execute("SELECT count(*) FROM people_participant")
                assert next_request.fetchone() == (0,)
            assert phone().get("/api/v1/me/").status_code == 401
            assert Participant.objects.count() == 0
        assert set(Participant.objects.values_list("pk", flat=True)) == {ada.pk, ben.pk}
    finally:
        connection.close()
        connections["default"].settings_dict.update(owner)


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_cursor_on_the_server_finds_what_its_actor_may_see(ada, ben):
    def names() -> set:
        return {person.pk for person in Participant.objects.iterator(chunk_size=1)}

    with row_security._acting(str(ada.user.pk)):
        assert names() == {ada.pk}
        with transaction.atomic():
            assert names() == {ada.pk}
    assert names() == {ada.pk, ben.pk}
    with row_security._acting(row_security.NOBODY):
        assert names() == set()
    with connection.connection.cursor() as left:
        left.execute("SELECT count(*) FROM people_participant")
        assert left.fetchone() == (0,), "the setting ended with its transaction"


@on_postgresql
def test_a_statement_that_failed_can_be_rolled_back_to_before_it(ada):
    with row_security._acting(str(ada.user.pk)):
        with pytest.raises(ProgrammingError), transaction.atomic():
            run("SELECT no_such_column FROM people_participant")
        assert run("SELECT id FROM people_participant") == [(ada.pk,)]


@on_postgresql
def test_the_role_of_the_service_can_neither_change_the_audit_nor_empty_a_table():
    for refused in (
        "UPDATE platform_auditevent SET action = 'x'",
        "DELETE FROM platform_auditevent",
        "DELETE FROM platform_audithead",
        "TRUNCATE people_consent CASCADE",
        "ALTER TABLE people_consent DISABLE ROW LEVEL SECURITY",
        "DELETE FROM django_migrations",
    ):
        with pytest.raises(ProgrammingError, match="permission denied|must be owner"), transaction.atomic():
            run(refused)


def test_a_request_acts_for_its_user_alone_and_before_sign_in_for_nobody(ada, rf, settings):
    seen = []

    def view(request):
        seen.append(row_security.actor())
        row_security.act_for(ada.user)
        seen.append(row_security.actor())
        with pytest.raises(row_security.ActsForOneself), row_security.acting_for_everybody():
            pass

    row_security.OfTheRequest(view)(rf.get("/api/v1/me/"))
    assert seen == ["", str(ada.user.pk)]
    assert row_security.actor() == "everybody", "as tests act outside of requests"
    row_security.act_for(ada.user)
    assert row_security.actor() == "everybody"


def test_a_fresh_thread_acts_for_nobody_and_the_renewal_of_a_lease_for_whom_its_work_does(ada, monkeypatch):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(row_security.actor()))
    thread.start()
    thread.join()
    monkeypatch.setattr(DataExport, "_renew_until", lambda row, stop: seen.append(row_security.actor()))
    with DataExport.objects.leased(DataExport.objects.create(participant=ada).pk):
        pass
    assert seen == ["", "everybody"]


def test_tasks_act_for_everybody_in_a_worker_and_in_the_embedded_thread():
    seen = []

    @current_app.task(name="tests.who_acts")
    def who_acts():
        seen.append(row_security.actor())

    with row_security._acting(row_security.NOBODY):
        embedded.run("tests.who_acts", {})
        who_acts.apply()
        assert row_security.actor() == ""
    del current_app.tasks["tests.who_acts"]
    assert seen == ["everybody", "everybody"]


REACH_FURTHER = {
    "manage.py": 1,
    "mhealth/platform/row_security.py": 3,  # what makes it, what ends it, and the tasks of workers
    "mhealth/people/models.py": 1,  # the lock on a person who may have been erased meanwhile
    "mhealth/people/services.py": 2,  # enrolment: nobody is signed in yet
    "mhealth/people/following.py": 1,  # a withdrawal holds for every row of the person
    "mhealth/checkins/services.py": 1,  # an id that is taken
    "interventions/services/delivery.py": 1,  # an id that is taken
}


def test_only_these_places_reach_further_than_a_user():
    files = [ROOT / "manage.py", *(ROOT / "mhealth").rglob("*.py"), *(ROOT / "interventions").rglob("*.py")]
    found = {str(file.relative_to(ROOT)): n for file in files if (n := _calls(file))}
    assert found == REACH_FURTHER


def _calls(file: Path) -> int:
    calls = (node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
    names = (getattr(func, "attr", getattr(func, "id", "")) for func in calls)
    return sum(name in ("acting_for_everybody", "_acting") for name in names)


@pytest.mark.parametrize("role", ["postgres", "nobody_of_this_name"])
def test_a_role_for_which_the_wall_would_not_hold_is_refused(role, monkeypatch):
    monkeypatch.delenv("APP_ROLE_PASSWORD", raising=False)
    said = io.StringIO()
    with pytest.raises(SystemExit) as ended, roles.owning():
        call_command("grant_app_role", role, stderr=said)
    assert ended.value.code == 2
    expected = {"postgres": "is a superuser", "nobody_of_this_name": "set APP_ROLE_PASSWORD"}[role]
    assert (expected if connection.vendor == "postgresql" else "row-level security is PostgreSQL's") in said.getvalue()


@on_postgresql
def test_who_does_not_own_the_tables_can_grant_nothing():
    said = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("grant_app_role", roles.SERVICE, stderr=said)
    assert (ended.value.code, "only the owner" in said.getvalue()) == (2, True)
