"""Questionnaires as a phone sees them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from mhealth.outcomes import checks, services
from mhealth.outcomes.models import InstrumentVersion, Response
from mhealth.platform import problems
from mhealth.platform.health import Missing, findings
from mhealth.safety.models import RiskEvent
from tests import factories
from tests.outcomes.instruments import answers

pytestmark = pytest.mark.django_db
URL = "/api/v1/questionnaires/"


def plan(person, days_ago: int, name: str = "baseline", slug: str = "dass21"):
    start = (datetime.now(UTC) - timedelta(days=days_ago)).date()
    return services.plan(
        participant=person, instrument_slug=slug, schedule=[{"name": name, "day": 0}], start_date=start
    )[0]


def send(client, occasion, row, at: datetime | None = None):
    body = {"answers": row, "answered_at": (at or datetime.now(UTC)).isoformat()}
    return client.put(f"{URL}{occasion.pk}/response/", body)


def test_a_person_sees_what_is_due_open_and_coming_with_the_instrument_to_show(ada, ben, phone, loaded):
    plan(ada, 20, "long over")
    plan(ada, 5, "due one")
    plan(ada, 1, "open one")
    plan(ada, -10, "coming one", "sus")
    plan(ben, 1, "for ben")
    body = phone(ada).get(URL).json()
    assert [(row["name"], row["phase"], row["answered"]) for row in body["occasions"]] == [
        ("due one", "due", False),
        ("open one", "open", False),
        ("coming one", "coming", False),
    ]
    dass21 = next(shown for shown in body["instruments"] if shown["slug"] == "dass21")
    assert len(dass21["items"]) == 21
    assert dass21["items"][20] == {"number": 21, "text": "Statement 21 (en)", "checked": True}
    assert [option["value"] for option in dass21["options"]] == [0, 1, 2, 3]
    assert [row["name"] for row in phone(ben).get(URL).json()["occasions"]] == ["for ben"]


def test_the_phone_picks_the_language_and_learns_that_a_translation_is_not_validated(ada, phone, loaded):
    plan(ada, 1)
    german = phone(ada).get(URL, headers={"Accept-Language": "de-AT, en;q=0.5"})
    assert german["Content-Language"] == "de"
    assert german.json()["instruments"][0]["items"][0]["text"] == "Statement 1 (de)"
    assert german.json()["instruments"][0]["validated"] is False
    english = phone(ada).get(URL, headers={"Accept-Language": "fr"})
    assert english["Content-Language"] == "en", "nothing in French: the person's own language, and it says so"
    assert english.json()["instruments"][0]["validated"] is True


def test_the_phone_learns_which_words_could_not_be_compared_with_the_published_form(ada, phone, loaded):
    plan(ada, 1)
    version = InstrumentVersion.objects.get(instrument__slug="dass21")
    version.texts["en"]["items"][1]["checked"] = False
    version.texts["de"]["instructions_checked"] = False
    version.save(update_fields=["texts"])

    def unsure(language: str) -> tuple[list[int], bool]:
        shown = phone(ada).get(URL, headers={"Accept-Language": language}).json()["instruments"][0]
        return [item["number"] for item in shown["items"] if not item["checked"]], shown["instructions_checked"]

    assert unsure("en") == ([2], True)
    assert unsure("de") == ([], False)


def test_a_translation_that_names_no_validation_is_not_validated_whatever_its_file_says(ada, phone, loaded):
    plan(ada, 1)
    version = InstrumentVersion.objects.get(instrument__slug="dass21")
    for reference, validated in [("A. Author (2020)", True), (None, False)]:
        version.texts["de"] |= {"status": "translation", "validation_reference": reference}
        version.save(update_fields=["texts"])
        shown = phone(ada).get(URL, headers={"Accept-Language": "de"}).json()["instruments"][0]
        assert shown["validated"] is validated
        assert services.weak_texts("dass21", ["de"]) == ([], [] if validated else ["de"])


def test_an_unchanged_list_is_not_sent_twice(ada, phone, loaded):
    occasion = plan(ada, 1)
    client = phone(ada)
    etag = client.get(URL)["ETag"]
    assert client.get(URL, headers={"If-None-Match": etag}).status_code == 304
    send(client, occasion, answers())
    fresh = client.get(URL, headers={"If-None-Match": etag})
    assert (fresh.status_code, fresh.json()["occasions"][0]["answered"]) == (200, True)


def test_answers_are_stored_once_and_the_same_again_is_harmless(ada, phone, loaded):
    occasion, client = plan(ada, 1), phone(ada)
    first = send(client, occasion, answers(q3=2))
    again = send(client, occasion, answers(q3=2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["in_window"] is True
    assert Response.objects.count() == 1


def test_other_answers_are_a_conflict_that_says_the_first_stand(ada, phone, loaded):
    occasion, client = plan(ada, 1), phone(ada)
    send(client, occasion, answers(q3=2))
    other = send(client, occasion, answers(q3=3))
    assert other.status_code == 409
    assert other["Content-Type"] == "application/problem+json"
    assert (kind(other), other.json()["stored"]) == ("answers-differ", True)
    assert Response.objects.for_analysis().get().answers == answers(q3=2)


@pytest.mark.parametrize(
    ("row", "pointer"),
    [
        (answers(q21=4), "/answers/20"),
        (answers(q1=-1), "/answers/0"),
        (answers(q2="often"), "/answers/1"),
        ([0] * 20, "/answers"),
    ],
)
def test_an_impossible_value_is_refused_with_a_pointer_to_it(ada, phone, loaded, row, pointer):
    occasion, client = plan(ada, 1), phone(ada)
    refused = send(client, occasion, row)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert not Response.objects.exists()
    assert send(client, occasion, answers(q21=3, q1=None)).status_code == 201


def kind(response) -> str:
    return response.json()["type"].removeprefix("urn:mhealth:problem:")


def test_a_closed_window_is_a_problem_that_says_the_answers_are_kept(ada, phone, loaded):
    closed, client = plan(ada, 30), phone(ada)
    late = send(client, closed, answers(q3=1, q21=3))
    assert (late.status_code, kind(late), late.json()["stored"]) == (409, "occasion-closed", True)
    assert late["Content-Type"] == "application/problem+json"
    assert late.json()["detail"].startswith("This questionnaire was closed when you answered it. Your answers are kept")
    kept = Response.objects.get()
    assert (kept.answers, kept.why_out) == (answers(q3=1, q21=3), "too_late")
    assert RiskEvent.objects.get(rule="dass21.item_21").participant == ada, "screened like all others"
    again = send(client, closed, answers(q3=1, q21=3))
    assert again.json() == late.json() | {"request_id": again.json()["request_id"]}
    assert Response.objects.count() == 1
    inside = send(client, plan(ada, 1, "now"), answers(q3=1))
    assert (inside.status_code, inside.json()["in_window"]) == (201, True)


def test_answers_before_the_window_are_a_problem_and_the_right_time_is_still_to_come(ada, phone, loaded):
    early = send(phone(ada), plan(ada, -10), answers(q3=1))
    assert (early.status_code, kind(early), early.json()["stored"]) == (409, "occasion-not-open", True)
    assert "answer it again once it is open" in early.json()["detail"]
    assert Response.objects.get().answers == answers(q3=1)


def test_answers_given_inside_that_arrive_a_week_too_late_are_told_so(ada, phone, loaded):
    closed = plan(ada, 30)
    late = send(phone(ada), closed, answers(), at=closed.closes_at - timedelta(hours=1))
    assert (late.status_code, kind(late)) == (409, "occasion-closed")
    assert late.json()["detail"].startswith("Your answers reached us more than a week after")
    assert Response.objects.get().why_out == "received_too_late"


@pytest.mark.parametrize(("days_ago", "language"), [(30, "de"), (-10, "es")])
def test_what_became_of_the_answers_is_said_in_the_persons_language(ada, phone, loaded, days_ago, language):
    client = phone(ada)
    client.credentials(**client._credentials, HTTP_ACCEPT_LANGUAGE=language)
    refused = send(client, plan(ada, days_ago), answers())
    assert refused["Content-Language"] == language
    starts = {"de": "Dieser Fragebogen war geschlossen", "es": "Este cuestionario aún no estaba abierto"}
    assert refused.json()["detail"].startswith(starts[language])


@pytest.mark.parametrize("language", ["de", "es"])
def test_the_late_arrival_is_translated_too(language):
    with translation.override(language):
        assert problems.translated(services.OccasionClosed.received_too_late)[1] == language


def test_a_phone_that_says_1970_is_told_that_its_clock_is_wrong(ada, phone, loaded):
    occasion, client = plan(ada, 1), phone(ada)
    refused = send(client, occasion, answers(), at=datetime(1970, 1, 1, tzinfo=UTC))
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/answered_at"]
    assert not Response.objects.exists()
    assert send(client, occasion, answers()).status_code == 201


def test_a_questionnaire_without_a_text_in_my_language_comes_in_that_of_the_study(ada, study, phone, loaded):
    plan(ada, 1)
    version = loaded_version("dass21")
    version.texts = {"de": version.texts["de"]}
    version.save()
    study.languages = ["de"]
    study.save()
    shown = phone(ada).get(URL)
    assert shown.json()["instruments"][0]["language"] == "de"
    assert shown["Content-Language"] == "de"


@pytest.mark.parametrize("texts", [{}, {"fr": {}}, {"en": {"title": "half a text"}}], ids=["none", "other", "half"])
def test_a_questionnaire_that_nobody_can_be_shown_is_left_out_and_the_operator_is_told(ada, phone, loaded, texts):
    plan(ada, 1), plan(ada, 1, slug="sus")
    assert checks.check_texts() == "there for everybody who is asked"
    version = loaded_version("dass21")
    version.texts = texts
    version.save()
    body = phone(ada).get(URL)
    assert body.status_code == 200
    assert [row["instrument"] for row in body.json()["occasions"]] == ["sus"]
    assert [row["slug"] for row in body.json()["instruments"]] == ["sus"]
    with pytest.raises(Missing, match="dass21 .* has no text in en"):
        checks.check_texts()
    assert any(what == "questionnaires" and not there for what, there, _ in findings())


def loaded_version(slug: str) -> InstrumentVersion:
    return InstrumentVersion.objects.get(instrument__slug=slug)


def test_answers_of_yesterday_count_although_the_window_has_closed_since(ada, phone, loaded):
    closed = plan(ada, 8)
    reply = send(phone(ada), closed, answers(), at=closed.closes_at - timedelta(minutes=1))
    assert reply.json()["in_window"] is True


def test_scores_are_shown_only_if_the_study_allows(ada, ben, study, phone, loaded):
    hidden = send(phone(ada), plan(ada, 1), answers(q3=3, q5=3)).json()
    assert "scores" not in hidden
    study.settings = {"show_scores": True}
    study.save()
    shown = send(phone(ben), plan(ben, 1), answers(q3=3, q5=3)).json()
    assert shown["scores"][0] == {
        "scale": "depression",
        "value": 12,
        "band": "mild",
        "n_missing": 0,
        "prorated": False,
    }


def test_nobody_else_answers_for_a_person(ada, ben, carol, rae, phone, loaded):
    occasion = plan(ada, 1)
    assert send(phone(), occasion, answers()).status_code == 401
    assert send(phone(ben), occasion, answers()).status_code == 404
    assert send(phone(carol), occasion, answers()).status_code == 403
    assert send(phone(rae), occasion, answers()).status_code == 403
    assert phone(carol).get(URL).status_code == 403
    assert not Response.objects.exists()
    assert send(phone(ada), occasion, answers()).status_code == 201


def test_a_clinician_who_takes_part_answers_for_themself_only(ada, team, phone, loaded):
    insider = factories.participant(team, "ines")
    factories.Group.objects.get(name="clinician").user_set.add(insider.user)
    team.clinicians.add(insider.user)
    theirs, own = plan(ada, 1, "ada's"), plan(insider, 1, "own")
    client = phone(insider.user)
    assert [row["name"] for row in client.get(URL).json()["occasions"]] == ["own"]
    assert send(client, theirs, answers()).status_code == 404
    assert send(client, own, answers()).status_code == 201


def test_who_has_left_gets_a_clear_problem(ada, phone, loaded):
    occasion = plan(ada, 1)
    client = phone(ada)
    ada.status, ada.stopped_at = "stopped", datetime.now(UTC) - timedelta(minutes=5)
    ada.save()
    refused = send(client, occasion, answers())
    assert (refused.status_code, kind(refused), refused.json()["stored"]) == (403, "participation-ended", False)
    assert not Response.objects.exists()
    ada.status = "erased"
    ada.save()
    before = send(client, occasion, answers(), at=datetime.now(UTC) - timedelta(minutes=10))
    assert (before.status_code, Response.objects.exists()) == (403, False), "nothing comes in after an erasure"
