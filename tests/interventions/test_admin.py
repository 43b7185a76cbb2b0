import uuid
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from interventions import services, training
from interventions.models import Activity, CareChoice, ContentFreeze, ModelVersion, Version
from interventions.services.registry import AlreadyPresent, NothingToRollBack
from interventions.validation import State
from mhealth.platform.models import AuditEvent
from mhealth.trials import services as trials
from tests.interventions import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def without_second_factor(settings):
    settings.STAFF_SECOND_FACTOR = False


@pytest.fixture
def browser(client):
    def of(user):
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return of


def page(browser, user, version) -> str:
    return browser(user).get(reverse("admin:interventions_version_change", args=[version.pk])).content.decode()


def do(browser, user, name, version, **fields):
    url = reverse(f"admin:interventions_version_{name}", args=[version.pk])
    return browser(user).post(url, {"_form_submitted": "on", "comment": ""} | fields)


BUTTONS = {
    "submit": "Submit for review",
    "review": "Review",
    "ask_changes": "Return for changes",
    "approve": "Approve",
    "publish": "Publish",
    "suspend": "Suspend",
    "retire": "Retire",
}


def buttons(browser, user, version) -> set[str]:
    text = page(browser, user, version)
    return {name for name in BUTTONS if reverse(f"admin:interventions_version_{name}", args=[version.pk]) in text}


def test_a_page_shows_only_the_steps_that_are_possible_for_this_user_now(browser, carol, eve, finn):
    version = factories.draft(factories.activity("slow-breathing"), carol)
    assert buttons(browser, carol, version) == {"submit", "retire"}
    assert buttons(browser, eve, version) == set()
    do(browser, carol, "submit", version)
    assert buttons(browser, carol, version) == set()
    assert buttons(browser, eve, version) == {"review", "ask_changes"}
    ratings = {"relevance": 4, "clarity": 4, "safety": 4, "verdict": "approve"}
    do(browser, eve, "review", version, **ratings)
    assert buttons(browser, eve, version) == {"ask_changes"}
    do(browser, finn, "review", version, **ratings)
    assert buttons(browser, finn, version) == {"ask_changes", "approve"}
    do(browser, finn, "approve", version)
    assert buttons(browser, carol, version) == {"publish", "retire"}
    do(browser, carol, "publish", version)
    version.refresh_from_db()
    assert version.state == State.PUBLISHED
    assert buttons(browser, eve, version) == {"suspend"}


def test_a_review_is_three_ratings_and_the_button_that_is_the_verdict(browser, carol, eve):
    version = factories.draft(factories.activity("slow-breathing"), carol)
    do(browser, carol, "submit", version)
    answer = do(browser, eve, "review", version, relevance=4, clarity=3, verdict="change")
    assert "rate safety" in browser(eve).get(answer.url).content.decode()
    assert not version.reviews.exists()
    do(browser, eve, "review", version, relevance=4, clarity=3, safety=4, verdict="change")
    written = version.reviews.get()
    assert (written.relevance, written.clarity, written.safety, written.verdict) == (4, 3, 4, "change")
    assert reverse("admin:interventions_version_review", args=[version.pk]) not in page(browser, eve, version)


def test_a_step_without_a_button_is_refused_at_its_address_too(browser, carol, eve):
    version = factories.draft(factories.activity("slow-breathing"), carol)
    assert do(browser, carol, "publish", version).status_code == 403
    assert do(browser, eve, "submit", version).status_code == 403
    version.refresh_from_db()
    assert version.state == State.DRAFT
    assert do(browser, carol, "submit", version).status_code == 200


def test_the_page_shows_the_text_as_a_phone_does_with_its_reviews_and_history(browser, shelf, carol, eve):
    version = shelf["five-senses"].versions.get()
    text = page(browser, carol, version)
    for expected in (
        "five-senses (en)",
        "Sit down.",
        "Try another one.",
        "CBT therapist",
        "1.00",
        "in review → approved",
    ):
        assert expected in text


def test_a_clinician_writes_a_text_with_one_step_per_line_and_becomes_its_author(browser, carol):
    activity = factories.activity("slow-breathing")
    form = {
        "activity": activity.pk,
        "language": "en",
        "title": "Breathe",
        "summary": "Slow down.",
        "steps": "Sit down.\n\nBreathe in.\nBreathe out.",
        "when_it_does_not_help": "Stop.",
    }
    browser(carol).post(reverse("admin:interventions_version_add"), form)
    version = Version.objects.get()
    assert (version.author, version.number, version.state) == (carol, 1, State.DRAFT)
    assert version.steps == ["Sit down.", "Breathe in.", "Breathe out."]
    browser(carol).post(reverse("admin:interventions_version_add"), form | {"steps": "One.\nTwo."})
    assert Version.objects.count() == 1


def test_a_fixed_text_has_no_form_and_a_new_version_starts_from_it(browser, shelf, carol):
    version = shelf["five-senses"].versions.get()
    assert 'name="title"' not in page(browser, carol, version)
    do(browser, carol, "new_version", version)
    draft = Version.objects.get(activity=shelf["five-senses"], number=2)
    assert (draft.state, draft.author, draft.steps) == (State.DRAFT, carol, version.steps)
    assert 'name="title"' in page(browser, carol, draft)


def test_one_button_suspends_all_texts_of_an_activity(browser, shelf, carol):
    activity = shelf["five-senses"]
    url = reverse("admin:interventions_activity_suspend", args=[activity.pk])
    browser(carol).post(url, {"_form_submitted": "on", "comment": "a complaint"})
    assert activity.versions.get().state == State.SUSPENDED
    listed = browser(carol).get(reverse("admin:interventions_activity_changelist")).content.decode()
    assert "en suspended" in listed
    assert "too few: " in listed  # agreement of reviewers over four activities


def test_people_of_other_roles_see_no_content(browser, shelf, rae, ola):
    assert isinstance(shelf["five-senses"], Activity)
    for user in (rae, ola):
        assert browser(user).get(reverse("admin:interventions_activity_changelist")).status_code == 403


def test_the_care_team_sees_the_trace_and_reading_it_is_recorded(browser, shelf, ada, carol, dan):
    factories.checked_in(ada, factories.fused("sadness"))
    decision = services.decide(participant=ada, moment=f"asked:{uuid.uuid4()}")
    url = reverse("admin:interventions_decision_change", args=[decision.pk])
    text = browser(carol).get(url).content.decode()
    seed = str(decision.record["choice"]["seed"])
    for expected in (
        seed,
        "the order set by clinicians",
        "sadness 0.70",
        "You showed signs of sadness",
        decision.version.title,
    ):
        assert expected in text
    assert not AuditEvent.objects.filter(action="admin.read").exists(), "one look is one event"
    read = AuditEvent.objects.get(action="decision.read")
    assert (read.actor, read.details) == (str(carol.pk), {"trace": True})
    assert seed not in browser(dan).get(url, follow=True).content.decode()


@pytest.mark.parametrize(("model", "label"), [("decision", "Decision"), ("carechoice", "CareChoice")])
def test_looking_through_a_list_of_people_is_recorded_once_with_its_count_and_no_name(
    browser, shelf, ada, ben, carol, model, label
):
    for person in (ada, ben):
        services.decide(participant=person, moment=f"asked:{uuid.uuid4()}")
        services.choose_for(participant=person, by=carol, kind=CareChoice.Kind.PAUSE)
    before = AuditEvent.objects.latest("pk").pk
    url = reverse(f"admin:interventions_{model}_changelist")
    assert str(ada.pk)[:8] in browser(carol).get(url).content.decode()
    event = AuditEvent.objects.get(pk__gt=before)
    assert (event.action, event.subject, event.details) == ("admin.listed", f"interventions.{label}", {"count": 2})
    assert event.actor == str(carol.pk)


def test_in_a_masked_trial_the_trace_is_hidden_until_it_is_unblinded(browser, shelf, ada, carol, tom, rae, study):
    trial = factories.running_trial(study)
    enrolment = factories.enrolled_in(ada, trial, "fixed_sequence")
    decision = services.decide(participant=ada, moment=f"asked:{uuid.uuid4()}")
    url = reverse("admin:interventions_decision_change", args=[decision.pk])
    text, seed = browser(carol).get(url).content.decode(), str(decision.record["choice"]["seed"])
    assert decision.version.title in text
    assert "masked trial" in text
    for telling in (seed, "fixed sequence", "Probability", "Candidates"):
        assert telling not in text
    assert seed not in browser(tom).get(url, follow=True).content.decode()
    asked = trials.ask_to_unblind(trial=trial, by=tom, reason="an emergency", enrolment=enrolment)
    trials.decide_unblinding(request=asked, by=rae, approve=True)
    assert seed in browser(tom).get(url).content.decode()
    assert seed not in browser(carol).get(url).content.decode()


def test_a_clinician_pauses_their_own_person_and_ends_it_in_the_admin(browser, shelf, ada, carol):
    browser(carol).post(reverse("admin:interventions_carechoice_add"), {"participant": ada.pk, "kind": "pause"})
    choice = CareChoice.objects.get()
    assert (choice.made_by, choice.ended_at) == (carol, None)
    url = reverse("admin:interventions_carechoice_end", args=[choice.pk])
    browser(carol).post(url, {"_form_submitted": "on", "comment": ""})
    choice.refresh_from_db()
    assert choice.ended_at is not None


def test_a_care_choice_that_names_nothing_or_another_teams_person_is_refused(browser, shelf, ada, carol, dan):
    add = reverse("admin:interventions_carechoice_add")
    assert b"Select a valid choice" in browser(dan).post(add, {"participant": ada.pk, "kind": "pause"}).content
    assert browser(carol).post(add, {"participant": ada.pk, "kind": "pin"}).status_code == 200
    assert not CareChoice.objects.exists()


def test_a_manager_freezes_the_content_of_their_trial(browser, shelf, tom, study):
    trial = factories.running_trial(study)
    browser(tom).post(reverse("admin:interventions_contentfreeze_add"), {"trial": trial.pk})
    assert ContentFreeze.objects.get().versions.count() == len(shelf)


def test_every_page_of_the_room_opens(browser, shelf, ada, carol, ola, tom, study):
    services.decide(participant=ada, moment="asked:1")
    services.freeze_content(trial=factories.running_trial(study))
    pages = {
        carol: ["activity", "version", "contraindication", "reasontexts", "carechoice", "decision"],
        ola: ["modelversion"],
        tom: ["contentfreeze"],
    }
    for user, names in pages.items():
        for name in names:
            listed = browser(user).get(reverse(f"admin:interventions_{name}_changelist"))
            assert listed.status_code == 200
            for row in listed.context["cl"].result_list:
                change = reverse(f"admin:interventions_{name}_change", args=[row.pk])
                assert browser(user).get(change).status_code == 200


@pytest.fixture
def models(db):
    """Two trained models: the second was promoted last and scores."""
    at = timezone.now() - timedelta(days=2)
    return [
        ModelVersion.objects.create(name=n, folder=n, sha256="0" * 64, promoted_at=at + timedelta(days=i))
        for i, n in enumerate(("first", "second"))
    ]


def registry(browser, user, name, version):
    url = reverse(f"admin:interventions_modelversion_{name}", args=[version.pk])
    return browser(user).post(url, {"_form_submitted": "on", "comment": ""})


def test_an_operator_rolls_back_and_promotes_and_the_chain_says_so(browser, models, ola):
    first, second = models
    assert ModelVersion.objects.present() == second
    assert not ModelVersion.objects.held()
    registry(browser, ola, "roll_back", second)
    assert ModelVersion.objects.present() == first
    assert ModelVersion.objects.held()  # what is trained tonight waits
    registry(browser, ola, "roll_back", first)
    assert ModelVersion.objects.present() is None  # clinicians' order
    registry(browser, ola, "promote", second)
    assert ModelVersion.objects.present() == second
    assert not ModelVersion.objects.held()
    events = AuditEvent.objects.filter(action__startswith="model.").order_by("pk")
    assert [(e.action, e.details["model"]) for e in events] == [
        ("model.rolled_back", "second"),
        ("model.rolled_back", "first"),
        ("model.promoted", "second"),
    ]
    assert events[0].details["now"] == "first"
    assert {e.actor for e in events} == {str(ola.pk)}


def test_only_operators_touch_the_registry_and_only_the_possible_step_is_offered(browser, models, ola, carol, tom):
    first, second = models
    for user in (carol, tom):
        assert registry(browser, user, "promote", first).status_code in (302, 403)
        assert registry(browser, user, "roll_back", second).status_code in (302, 403)
    assert ModelVersion.objects.present() == second
    page_of = lambda v: browser(ola).get(reverse("admin:interventions_modelversion_change", args=[v.pk]))  # noqa: E731
    promote, back = (
        reverse(f"admin:interventions_modelversion_{n}", args=[first.pk]) for n in ("promote", "roll_back")
    )
    text = page_of(first).content.decode()
    assert promote in text
    assert back not in text
    with pytest.raises(AlreadyPresent):
        services.promote(version=second, by=ola)
    with pytest.raises(NothingToRollBack):
        services.roll_back(version=first, by=ola)
    assert ModelVersion.objects.present() == second


def test_after_a_roll_back_what_is_trained_at_night_waits_for_a_person(models, ola, monkeypatch):
    promoted = []
    monkeypatch.setattr(training, "train", lambda *, promote: promoted.append(promote))
    training.train_nightly()
    services.roll_back(version=models[1], by=ola)
    training.train_nightly()
    services.promote(version=models[1], by=ola)
    training.train_nightly()
    assert promoted == [True, False, True]
