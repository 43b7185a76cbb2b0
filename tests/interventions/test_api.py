import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from interventions import services
from interventions.models import Decision, DecisionEvent, ReasonTexts, Version
from mhealth.platform import embedded
from mhealth.safety import services as safety
from mhealth.safety.models import CrisisResource
from mhealth.trials.models import Trial
from recommender.catalogue import Outcome
from tests.interventions import factories

pytestmark = pytest.mark.django_db
URL = "/api/v1/recommendations/"
TELLING = ("policy", "personalised", "fixed_sequence", "clinician_order", "probabilit", "score", "seed", "model", "arm")


def offered(person) -> Decision:
    return services.decide(participant=person, moment=f"asked:{uuid.uuid4()}")


def event(kind="shown", **more) -> dict:
    return {"id": str(uuid.uuid4()), "kind": kind, "at": timezone.now().isoformat()} | more


def keys(value) -> object:
    """The shape of an answer: keys all the way down, and which values are missing."""
    if isinstance(value, dict):
        return {name: keys(each) for name, each in value.items()}
    return [keys(each) for each in value] if isinstance(value, list) else type(value).__name__


def test_activities_come_in_my_language_with_an_etag_that_holds_until_something_changes(shelf, ada, phone, eve):
    first = phone(ada).get("/api/v1/activities/")
    assert {row["key"] for row in first.json()} == set(factories.SHELF)
    assert first["Content-Language"] == "en"
    assert first.json()[0]["steps"] == ["Sit down.", "Do it.", "Notice what changed."]
    assert phone(ada).get("/api/v1/activities/", HTTP_IF_NONE_MATCH=first["ETag"]).status_code == 304
    services.suspend_activity(activity=shelf["five-senses"], user=eve)
    again = phone(ada).get("/api/v1/activities/", HTTP_IF_NONE_MATCH=first["ETag"])
    assert again.status_code == 200
    assert "five-senses" not in {row["key"] for row in again.json()}


def test_activities_fall_back_to_the_studys_language_and_say_so(carol, eve, finn, ada, phone):
    factories.shelf(carol, [eve, finn], languages=("en", "de"))
    german = phone(ada).get("/api/v1/activities/", HTTP_ACCEPT_LANGUAGE="de-AT,de;q=0.9")
    assert {row["language"] for row in german.json()} == {"de"}
    french = phone(ada).get("/api/v1/activities/", HTTP_ACCEPT_LANGUAGE="fr")
    assert french["Content-Language"] == "en"


def test_who_is_nobody_or_staff_without_people_sees_no_activities(shelf, phone, rae):
    assert phone().get("/api/v1/activities/").status_code == 401
    assert phone(rae).get("/api/v1/activities/").status_code == 403
    assert phone(rae).get(URL).status_code == 403


def test_asking_answers_202_and_the_worker_fills_it(shelf, ada, phone, django_capture_on_commit_callbacks):
    client = phone(ada)
    assert client.get(URL).json()["type"].endswith("nothing-decided")
    with django_capture_on_commit_callbacks(execute=True):
        asked = client.post(URL)
    assert (asked.status_code, asked["Retry-After"], asked.json()["status"]) == (202, "1", "queued")
    assert client.get(URL).status_code == 202
    assert client.post(URL).json()["id"] == asked.json()["id"]  # asking again does not ask twice
    embedded.run_pending()
    done = client.get(URL)
    assert (done.status_code, done.json()["id"]) == (200, asked.json()["id"])
    assert done.json()["activity"]["key"] in factories.SHELF
    assert done.json()["activity"]["steps"]


def test_reasons_are_the_approved_sentences_with_their_slots_filled(shelf, ada, phone):
    factories.checked_in(ada, factories.fused("sadness"))
    decision = offered(ada)
    answer = phone(ada).get(URL).json()
    title = decision.version.title
    assert answer["reasons"][0] == "You showed signs of sadness in your check-in."
    assert answer["reasons"][1].startswith(f"“{title}” is an exercise in ")
    assert any("Clinicians have set the order of these exercises" in reason for reason in answer["reasons"])
    assert "{" not in "".join(answer["reasons"])
    assert answer["note"].startswith("A computer estimates what face and voice express.")


def test_reasons_come_in_the_language_the_phone_asks_for(shelf, ada, phone):
    factories.checked_in(ada, factories.fused("sadness"))
    offered(ada)
    answer = phone(ada).get(URL, HTTP_ACCEPT_LANGUAGE="de")
    assert answer["Content-Language"] == "de"
    assert answer.json()["reasons"][0] == "In Ihrem Check-in gab es Anzeichen von Traurigkeit."


def test_every_sentence_can_be_filled_in_every_language(shelf, ada):
    """A slot that a translation spells differently would break somebody's recommendation."""
    from interventions import reasons

    slots = {
        "technique": "breathing",
        "purpose": "breathing",
        "emotion": "fear",
        "scale": "anxiety",
        "band": "severe",
        "sureness": "low",
        "other_title": "X",
        "times": 2,
        "rating": 4.5,
        "step": 1,
        "steps": 4,
    }
    version = Version.objects.first()
    for texts in ReasonTexts.objects.all():
        every = [{"key": k, "slots": slots} for kind in ("shared", "open") for k in texts.sentences[kind]]
        for sentence in reasons.render(every, texts, version):
            assert "{" not in sentence


def test_an_uncertain_estimate_gets_the_uncertain_wording(shelf, ada, phone):
    factories.checked_in(ada, factories.fused("fear", p=0.2, abstained=True))
    offered(ada)
    assert phone(ada).get(URL).json()["reasons"][0].startswith("We could not tell what your check-in expressed")


def test_both_arms_of_a_masked_trial_get_the_same_answer_but_for_the_activity(shelf, ada, ben, study, phone):
    trial = factories.running_trial(study)
    answers = {}
    for person, policy in ((ada, "personalised"), (ben, "fixed_sequence")):
        factories.enrolled_in(person, trial, policy)
        factories.checked_in(person, factories.fused("sadness"))
        decision = offered(person)
        assert decision.record["policy"] == policy
        answers[policy] = phone(person).get(URL)
    shapes = [keys(answer.json()) for answer in answers.values()]
    assert shapes[0] == shapes[1]
    heads = [set(answer.headers) for answer in answers.values()]
    assert heads[0] == heads[1]
    for answer in answers.values():
        text = answer.content.decode()
        assert not [word for word in TELLING if word in text.replace("arousal", "").replace("harm", "")], text
        assert [reason.split()[0] for reason in answer.json()["reasons"]] == ["You", f"“{title_of(answer)}", "It"]


def title_of(answer) -> str:
    return answer.json()["activity"]["title"].split()[0]


def test_a_clinicians_eyes_are_masked_and_an_unblinded_trial_opens_the_reasons(shelf, ada, carol, study, phone):
    trial = factories.running_trial(study)
    factories.enrolled_in(ada, trial, "personalised")
    offered(ada)
    assert len(phone(ada).get(URL).json()["reasons"]) == 3
    Trial.objects.filter(pk=trial.pk).update(unblinded_at=timezone.now())
    assert len(phone(ada).get(URL).json()["reasons"]) > 3


def test_events_are_stored_once_and_can_be_repeated(shelf, ada, phone):
    client, decision = phone(ada), offered(ada)
    url, sent = f"{URL}{decision.pk}/events/", event("rated", value=4)
    assert client.post(url, sent).status_code == 201
    again = client.post(url, sent)
    assert (again.status_code, again["Idempotency-Replayed"]) == (200, "true")
    assert client.post(url, sent | {"value": 5}).json()["type"].endswith("id-reused")
    assert DecisionEvent.objects.get().value == 4


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"kind": "rated", "value": 6}, "/value"),
        ({"kind": "rated"}, "/value"),
        ({"kind": "shown", "value": 1}, "/value"),
        ({"kind": "mood_before", "value": 11}, "/value"),
        ({"kind": "skipped"}, "/reason"),
        ({"kind": "completed", "reason": "no_time"}, "/reason"),
        ({"kind": "skipped", "reason": "because"}, "/reason"),
        ({"kind": "danced"}, "/kind"),
        ({"kind": "shown", "id": "1"}, "/id"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused_with_a_pointer(shelf, ada, phone, sent, pointer):
    client, decision = phone(ada), offered(ada)
    answer = client.post(f"{URL}{decision.pk}/events/", event() | sent)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    for good in ({"kind": "mood_before", "value": 0}, {"kind": "skipped", "reason": "no_time"}, {"kind": "started"}):
        assert client.post(f"{URL}{decision.pk}/events/", event() | good).status_code == 201


def test_another_persons_decision_does_not_exist_for_me(shelf, ada, ben, carol, phone):
    decision = offered(ada)
    url = f"{URL}{decision.pk}/events/"
    assert phone(ben).post(url, event()).status_code == 404
    assert phone(carol).post(url, event()).status_code == 403
    assert phone(ben).get(URL).status_code == 404
    assert phone(ada).post(url, event()).status_code == 201


def test_an_event_id_of_another_person_is_refused_without_a_word_about_it(shelf, ada, ben, phone):
    sent = event()
    assert phone(ada).post(f"{URL}{offered(ada).pk}/events/", sent).status_code == 201
    answer = phone(ben).post(f"{URL}{offered(ben).pk}/events/", sent)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:mhealth:problem:id-reused")


def test_a_suspended_activity_leaves_the_answer_at_once(shelf, ada, eve, phone):
    decision = offered(ada)
    before = phone(ada).get(URL).json()
    assert before["activity"]["title"] == decision.version.title
    services.suspend_activity(activity=decision.version.activity, user=eve)
    after = phone(ada).get(URL).json()
    assert (after["activity"], after["withdrawn"], after["reasons"]) == (None, True, [])
    assert list(Decision.objects.withdrawn()) == [decision]


def test_a_severe_risk_brings_the_crisis_card_and_hides_what_is_not_grounding(shelf, ada, phone):
    CrisisResource.objects.create(slug="line", country="", language="en", name="A line", review_by="2030-01-01")
    services.suspend_activity(activity=shelf["five-senses"], user=_reviewer(shelf))
    offered(ada)
    client = phone(ada)
    assert client.get(URL).json()["activity"] is not None
    assert client.get(URL).json()["crisis_card"] is None
    safety.raise_event(participant=ada, source="test", severity="severe", rule="item-21", evidence={})
    answer = client.get(URL).json()
    assert answer["activity"] is None
    assert [row["name"] for row in answer["crisis_card"]["resources"]] == ["A line"]


def _reviewer(shelf):
    return shelf["five-senses"].versions.get().approved_by


def test_the_clock_of_an_event_is_judged_as_that_of_a_check_in(shelf, ada, phone):
    decision, client = offered(ada), phone(ada)
    url, now = f"{URL}{decision.pk}/events/", timezone.now()
    flat = client.post(url, event() | {"at": "1970-01-01T00:00:00Z"})
    assert (flat.status_code, flat.json()["errors"][0]["pointer"]) == (422, "/at")
    assert not decision.events.exists()
    ahead = client.post(url, event() | {"at": (now + timedelta(days=400)).isoformat()})
    assert ahead.status_code == 201
    assert abs(decision.events.get().at - now) < timedelta(minutes=1), "our time stands in for a clock that is ahead"
    near = event() | {"at": (now + timedelta(minutes=9)).isoformat()}
    assert client.post(url, near).status_code == 201
    assert decision.events.get(pk=near["id"]).at == now + timedelta(minutes=9)


def others(client, decision) -> list[tuple[int, str]]:
    answer = client.post(f"{URL}{decision.pk}/others/")
    assert answer.status_code == 200, answer.content
    return [(row["place"], row["activity"]["key"]) for row in answer.json()]


def test_others_are_the_next_best_shown_when_asked_for_and_stored_once(shelf, ada, phone):
    decision, client = offered(ada), phone(ada)
    assert "others" not in client.get(URL).json()
    shown = others(client, decision)
    law = dict(zip(factories.SHELF, decision.record["choice"]["probabilities"], strict=True))
    left = sorted(law.keys() - {decision.version.activity.key}, key=lambda key: -law[key])
    assert shown == list(enumerate(left, start=1))
    assert others(client, decision) == shown
    assert [each.kind for each in decision.events.all()] == ["others_shown"]


def test_what_is_taken_instead_is_stored_and_leaves_the_outcome_of_the_decision_alone(shelf, ada, phone):
    decision, client = offered(ada), phone(ada)
    url, taken = f"{URL}{decision.pk}/events/", event("other_chosen", value=3)
    before = client.post(url, taken)
    assert (before.status_code, before.json()["errors"][0]["pointer"]) == (422, "/value")
    others(client, decision)
    assert client.post(url, taken).status_code == 201
    assert client.post(url, event("others_shown")).status_code == 422
    kinds = {each.kind: each.value for each in decision.events.all()}
    assert kinds == {"others_shown": None, "other_chosen": 3}
    later = timezone.now() + timedelta(days=9)
    assert decision.heard_until(later) == Outcome()  # unlike one that was seen and let pass
    assert client.post(url, event("shown")).status_code == 201
    seen = Decision.objects.get(pk=decision.pk)
    assert seen.heard_until(later) == Outcome(completed=False)


def test_a_gate_that_has_closed_since_closes_an_other_as_well(shelf, ada, carol, eve, phone):
    decision, client = offered(ada), phone(ada)
    shown = others(client, decision)
    services.suspend_activity(activity=shelf[shown[0][1]], user=eve)
    services.choose_for(participant=ada, by=carol, kind="exclude", activity=shelf[shown[1][1]])
    assert others(client, decision) == shown[2:]
    safety.raise_event(participant=ada, source="test", severity="severe", rule="item-21", evidence={})
    assert {key for _, key in others(client, decision)} <= {"five-senses"}


def test_in_a_masked_trial_there_are_no_others_in_either_arm(shelf, ada, ben, study, phone):
    trial = factories.running_trial(study)
    for person, policy in ((ada, "personalised"), (ben, "fixed_sequence")):
        factories.enrolled_in(person, trial, policy)
        assert others(phone(person), offered(person)) == []


def test_others_are_mine_alone_and_of_the_present_decision_alone(shelf, ada, ben, carol, phone):
    decision = offered(ada)
    url = f"{URL}{decision.pk}/others/"
    assert phone(ben).post(url).status_code == 404
    assert phone(carol).post(url).status_code == 403
    assert phone(ada).post(url).status_code == 200
    Decision.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert phone(ada).post(url).status_code == 404
