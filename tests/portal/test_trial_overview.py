"""What a researcher and a manager see of a trial under way; counts that add up, flags with their rows, no arms."""

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from scipy import stats

from mhealth.outcomes import services as outcomes
from mhealth.outcomes.models import InstrumentVersion, Occasion, Response
from mhealth.people.models import Device, Participant
from mhealth.platform.models import AuditEvent, DataKey
from mhealth.portal.overview import drawings, flags, progress
from mhealth.portal.overview.people import Picture
from mhealth.research.cohort import pseudonym
from mhealth.research.models import Export
from mhealth.trials import services
from mhealth.trials.models import Enrolment, Trial
from tests import factories as people
from tests.research.conftest import earlier, unblind
from tests.trials import factories

pytestmark = pytest.mark.django_db
FIVE_WEEKS = timedelta(days=38)


@pytest.fixture
def desk(client, settings):
    settings.STAFF_SECOND_FACTOR = False

    def sit_down(user):
        client.force_login(user)
        return client

    return sit_down


@pytest.fixture
def trial(study):
    factories.load_dass21()
    return factories.running(study, stratify_by=["site"], slots_per_stratum=30, expected_people=12, recruitment_weeks=6)


@pytest.fixture
def story(trial, team, ada, ben):
    """ada finished, ben missed the end, cleo left before it, dora has it to come, eric waits with two empty items."""
    cleo, dora, eric = (people.participant(team, name) for name in ("cleo", "dora", "eric"))
    for person, given in ((ada, [1] * 21), (ben, [0, 1, 2] * 7), (cleo, [0, 1, 2] * 7)):
        _five_weeks_pass(factories.allocated(person, trial, given))
    last = ada.occasions.get(name="week 4")
    outcomes.answer(occasion=last, answers=[2, 1, *[1] * 19], answered_at=last.due_at)
    outcomes.answer(occasion=ben.occasions.get(name="week 2"), answers=[1] * 21, answered_at=timezone.now())
    services.withdraw(enrolment=Enrolment.objects.get(participant=cleo), kind="stop")
    factories.allocated(dora, trial)
    factories.candidate(eric, trial, [None, None, None, *[1] * 10, None, *[1] * 7])
    earlier(trial, FIVE_WEEKS, "started_at")
    return trial


def _five_weeks_pass(enrolment) -> None:
    earlier(enrolment, FIVE_WEEKS, "enrolled_at", "allocated_at")
    earlier(enrolment.baseline, FIVE_WEEKS, "answered_at", "received_at")
    for occasion in enrolment.participant.occasions.all():
        earlier(occasion, FIVE_WEEKS, "opens_at", "due_at", "closes_at", "created_at")


def picture(trial, *, by_arm=False) -> Picture:
    return Picture(Trial.objects.get(pk=trial.pk), timezone.now(), by_arm=by_arm)


def page(browser, trial) -> str:
    answer = browser.get(reverse("trial-overview", args=[trial.slug]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_flow_says_where_everybody_is_and_adds_up(story):
    found = progress.entry(picture(story))
    flow = found.flows[0]
    assert (found.entered, found.before.waiting, found.before.left, found.randomised) == (5, 1, 0, 4)
    assert (flow.scored, flow.unscorable, flow.to_come, flow.missed, flow.left) == (1, 0, 1, 1, 1)
    assert found.before.assessed == found.entered == found.before.waiting + found.before.left + found.randomised


def test_arms_are_told_apart_only_where_the_report_may(desk, story, rae):
    masked = page(desk(rae), story)
    names = [arm.name for arm in story.arms.all()]
    assert "All arms together" in masked
    assert not [name for name in names if name in masked or name.capitalize() in masked]
    unblind(story)
    told = page(desk(rae), story)
    assert all(name in told for name in names)
    parts = progress.entry(picture(story, by_arm=True)).flows
    assert {flow.arm: flow.allocated for flow in parts} == {
        name: sum(e.read_arm().name == name for e in Enrolment.objects.exclude(slot=None)) for name in names
    }


def test_a_program_reads_the_same_counts_and_no_person(phone, story, rae, tom, carol, ada):
    url = f"/api/v1/research/trials/{story.slug}/"
    told = phone(rae).get(url)
    assert told.status_code == 200
    body = told.json()
    assert (body["entered"], body["waiting"], body["left_before"], body["randomised"]) == (5, 1, 0, 4)
    (flow,) = body["flows"]
    states = {"scored": 1, "unscorable": 0, "to_come": 1, "missed": 1, "left": 1}
    assert flow == {"arm": "all arms together", "allocated": 4} | states
    assert [week["expected"] for week in body["weeks"]] == [2, 4, 6, 8, 10, 12]
    final = next(row for row in body["completion"] if row["name"] == "week 4")
    assert (final["planned"], final["answered"], body["endpoint"]) == (4, 1, "week 4")
    assert str(ada.pk) not in told.content.decode()
    assert phone(tom).get(url).json()["flows"] == body["flows"]
    stranger = people.member("rob", "researcher", people.study(slug="other"))
    assert [phone(user).get(url).status_code for user in (carol, ada, stranger)] == [403, 403, 404]
    unblind(story)
    apart = phone(rae).get(url).json()["flows"]
    assert {arm["arm"] for arm in apart} == {arm.name for arm in story.arms.all()}


def test_an_open_label_trial_stays_together_until_it_is_closed_with_its_plan_locked(desk, study, rae):
    factories.load_dass21()
    trial = factories.running(study, slug="open", arms=(("personalised", 1), ("waiting_list", 1)))
    assert "waiting_list arm" not in page(desk(rae), trial)
    services.lock_plan(trial=services.close(trial=trial))
    assert "waiting_list arm" in page(desk(rae), trial)


def test_recruitment_is_compared_with_what_was_expected(story):
    weeks = progress.weeks(picture(story))
    assert len(weeks) == 6
    assert [week.expected for week in weeks] == [2, 4, 6, 8, 10, 12]
    assert [week.randomised for week in weeks] == [3, 3, 3, 3, 3, 4]
    drawn = drawings.recruitment(weeks)
    assert "4 people randomised by now; 12 were expected." in drawn
    assert drawn.count("<polyline") == 2
    story.expected_people = None
    Trial.objects.filter(pk=story.pk).update(expected_people=None)
    assert drawings.recruitment(progress.weeks(picture(story))).count("<polyline") == 1


def test_every_planned_questionnaire_is_in_one_state(story):
    found = {each.name: each for each in progress.completion(picture(story))}
    last = found["week 4"]
    assert (last.planned, last.answered, last.open, last.to_come, last.missed, last.left) == (4, 1, 0, 1, 1, 1)
    assert last.share == 0.5
    for each in found.values():
        assert each.planned == each.answered + each.open + each.to_come + each.missed + each.left
    weeks = progress.weeks(picture(story))
    assert sum(week.answered for week in weeks) == 4  # three baselines, one end


def found(trial) -> dict[str, list]:
    return {flag.key: [(row.person, row.what) for row in flag.rows] for flag in flags.flags(trial)}


def test_flags_find_what_they_say_and_nothing_else(story, ada, ben):
    dora, eric = (Participant.objects.get(user__email=f"{name}@example.org") for name in ("dora", "eric"))
    assert found(story) == {
        "window": [(ben.pk, "dass21, week 2")],
        "conflict": [],
        "items": [(eric.pk, "dass21, baseline")],
        "line": [(ada.pk, "dass21, baseline"), (dora.pk, "dass21, baseline")],
        "clock": [],
        "phone": [],
        "baseline": [(eric.pk, "dass21, baseline")],
    }


def test_flags_of_clocks_phones_and_second_answers(story, ada, ben, dan):
    Response.objects.filter(occasion__participant=ada, in_window=True).update(clock_suspect=True)
    for person in (ada, ben):
        device, _ = Device.objects.create(user=person.user)
        Device.objects.filter(pk=device.pk).update(push_token="one phone")
    other, _ = Device.objects.create(user=dan)
    Device.objects.filter(pk=other.pk).update(push_token="of another person")
    Response.objects.filter(occasion__participant=ben, in_window=False).update(conflicting=True)
    now = found(story)
    assert [person for person, _ in now["clock"]] == [ada.pk, ada.pk]
    assert {person for person, _ in now["phone"]} == {ada.pk, ben.pk}
    assert now["conflict"] == [(ben.pk, "dass21, week 2")]
    assert now["window"] == []


def test_the_rows_behind_a_flag_are_pseudonyms_and_days_and_looking_is_recorded(desk, story, ben, rae):
    shown = desk(rae).get(reverse("trial-flag", args=[story.slug, "window"])).content.decode()
    assert pseudonym(story.study, ben) in shown
    # Local days: with the end of summer time between, an hour before midnight lies on the day before.
    assert re.search(r'dass21, week 2</td><td class="mh-number">3[78]<', shown)
    assert str(ben.pk)[:8] not in shown
    event = AuditEvent.objects.get(action="trial.flag_read")
    assert (event.actor, event.details) == (str(rae.pk), {"flag": "window", "count": 1})
    assert desk(rae).get(reverse("trial-flag", args=[story.slug, "nothing"])).status_code == 404


def planned(trial, team, site: str, n: int, missed: int) -> None:
    for number in range(n):
        person = people.participant(team, f"{site}{number}", site=site)
        enrolment = Enrolment.objects.create(trial=trial, participant=person, status="allocated")
        Enrolment.objects.filter(pk=enrolment.pk).update(allocated_at=timezone.now() - FIVE_WEEKS)
        at = timezone.now() - timedelta(days=10)
        occasion = Occasion.objects.create(
            participant=person, version=_version(), plan=f"trials.Trial/{trial.pk}", number=1, name="week 2",
            opens_at=at, due_at=at + timedelta(days=3), closes_at=at + timedelta(days=7),
        )  # fmt: skip
        if number >= missed:
            outcomes.answer(occasion=occasion, answers=[1, 0, 2] * 7, answered_at=at + timedelta(days=1))


def _version() -> InstrumentVersion:
    return InstrumentVersion.objects.get(instrument__slug="dass21")


def test_a_site_that_misses_much_is_unusual_and_small_ones_are_not_shown(trial, team):
    for site, n, missed in (("north", 12, 4), ("south", 8, 8), ("east", 2, 2), ("west", 6, 2)):
        planned(trial, team, site, n, missed)
    shown = {site.name: site for site in flags.sites(picture(trial))}
    assert {name for name, site in shown.items() if not site.shown} == {"east", "west"}  # west would follow from it
    assert [name for name, site in shown.items() if site.unusual] == ["south"]
    assert shown["north"].missed == 4


def test_fishers_p_is_that_of_scipy():
    for hits, drawn, all_hits, n in ((8, 8, 12, 28), (1, 12, 12, 28), (0, 5, 3, 40), (3, 7, 9, 21)):
        table = [[hits, drawn - hits], [all_hits - hits, n - drawn - all_hits + hits]]
        assert flags._fisher(hits, drawn, all_hits, n) == pytest.approx(stats.fisher_exact(table).pvalue)


def test_each_role_sees_its_own(desk, story, rae, tom, carol):
    url = reverse("trial-overview", args=[story.slug])
    mine = Export.objects.create(trial=story, asked_by=rae, reason="a look", status="running", progress=40)
    theirs = Export.objects.create(trial=story, asked_by=rae, reason="who", identifiable=True, status="receiving")
    researcher, manager = page(desk(rae), story), page(desk(tom), story)
    address = {row.pk: reverse("admin:research_export_change", args=[row.pk]) for row in (mine, theirs)}
    assert address[mine.pk] in researcher
    assert "40 %" in researcher
    assert address[mine.pk] not in manager
    assert address[theirs.pk] in manager
    stranger = people.member("sam", "researcher", people.study("other"))
    for user, status in ((stranger, 404), (carol, 404)):
        assert desk(user).get(url).status_code == status
        assert story.title not in desk(user).get(reverse("trial-overviews")).content.decode()


def test_the_trials_page_and_the_sidebar_lead_to_it(desk, story, tom, rae):
    address = reverse("trial-overview", args=[story.slug])
    assert address in desk(tom).get(reverse("admin:trials_trial_change", args=[story.pk])).content.decode()
    listed = desk(rae).get("/admin/").content.decode()
    assert reverse("trial-overviews") in listed
    assert address in desk(rae).get(reverse("trial-overviews")).content.decode()


def many(trial: Trial, team, n: int) -> None:
    """n people with a baseline and two follow-ups each, made in bulk."""
    key, now, version = DataKey.make(), timezone.now(), _version()
    keys = DataKey.objects.bulk_create([DataKey(wrapped=key.wrapped) for _ in range(n)])
    made = [Participant(study=team.study, care_team=team, data_key=k, site="north", status="active") for k in keys]
    Participant.objects.bulk_create(made)
    about = {"trial": trial, "status": "allocated", "allocated_at": now - FIVE_WEEKS, "enrolled_at": now - FIVE_WEEKS}
    Enrolment.objects.bulk_create([Enrolment(participant=person, **about) for person in made])
    rows = []
    for number, name in enumerate(("baseline", "week 2", "week 4")):
        at = now - FIVE_WEEKS + number * timedelta(days=14)
        window = {"opens_at": at, "due_at": at + timedelta(days=1), "closes_at": at + timedelta(days=7)}
        plan = {"version": version, "plan": f"trials.Trial/{trial.pk}", "number": number, "name": name}
        rows += [Occasion(id=uuid.uuid4(), participant=person, **plan, **window) for person in made]
    Occasion.objects.bulk_create(rows)
    given = [
        Response(occasion=row, answers_sealed=b"-", answered_at=row.due_at, in_window=True, language="en")
        for row in rows[::2]
    ]
    Response.objects.bulk_create(given)


def test_the_number_of_queries_does_not_grow_with_the_people(desk, story, team, rae):
    browser = desk(rae)
    page(browser, story)
    with CaptureQueriesContext(
        connection,
    ) as few:
        page(browser, story)
    many(story, team, 60)
    with CaptureQueriesContext(connection) as more:
        page(browser, story)
    assert len(more) == len(few)
