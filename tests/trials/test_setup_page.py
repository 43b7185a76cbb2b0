"""The set-up page of a draft: rows and numbers instead of JSON, and a check that follows what is typed."""

import pytest
from django.urls import reverse

from mhealth.outcomes.models import InstrumentVersion
from mhealth.trials import checks, services
from mhealth.trials.models import Trial
from tests.trials import factories
from tests.trials.test_admin import desk, page  # noqa: F401 (a fixture)

pytestmark = pytest.mark.django_db
ARMS = {"arms-TOTAL_FORMS": 2, "arms-INITIAL_FORMS": 0} | {
    f"arms-{i}-{name}": value
    for i, policy in enumerate(["personalised", "fixed_sequence"])
    for name, value in {"position": i, "name": policy, "policy": policy, "share": 1}.items()
}


def rows(name: str, *filled: dict) -> dict:
    """As the browser sends them: the filled rows, and an empty one after each."""
    sent = {f"{name}-rows": 2 * len(filled)}
    return sent | {f"{name}-{2 * i}-{field}": value for i, row in enumerate(filled) for field, value in row.items()}


def typed(study, *, rules=None, lines=None, **fields) -> dict:
    rules = rules or [{"fact": "age", "at_least": 18, "at_most": 65}, {"fact": "language", "one_of": "en, de"}]
    lines = lines or [
        {"instrument": "dass21", "start": "enrolment", "name": "baseline", "day": 0, "days_open": 14},
        {"instrument": "dass21", "start": "allocation", "name": "week 8", "day": 56},
    ]
    said = {
        "study": study.pk,
        "slug": "calm-9",
        "title": "Calm",
        "stratify_by": ["site", "severity"],
        "severity_scale": "depression",
        "severity_cuts": "10, 21",
        "block_sizes": "4, 6",
        "slots_per_stratum": 100,
        "expected_people": 200,
        "baseline_instrument": "dass21",
    }
    return said | rows("eligibility", *rules) | rows("schedule", *lines) | ARMS | fields


def check(browser, sent: dict) -> str:
    answer = browser.post(reverse("admin:trials_trial_check_new"), sent)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_trial_is_set_up_without_json(desk, tom, study):  # noqa: F811
    factories.load_dass21()
    refused_nothing = desk(tom).post(reverse("admin:trials_trial_add"), typed(study))
    assert refused_nothing.status_code == 302
    trial = Trial.objects.get(slug="calm-9")
    assert (trial.stratify_by, trial.severity_cuts, trial.block_sizes) == (["site", "severity"], [10, 21], [4, 6])
    assert trial.eligibility == [
        {"fact": "age", "at_least": 18, "at_most": 65},
        {"fact": "language", "one_of": ["en", "de"]},
    ]
    assert trial.schedule == [
        {"instrument": "dass21", "from": "enrolment", "name": "baseline", "day": 0, "days_open": 14},
        {"instrument": "dass21", "from": "allocation", "name": "week 8", "day": 56},
    ]
    assert trial.ordered_arms()[1].policy == "fixed_sequence"
    shown = page(desk(tom), trial)
    assert 'value="week 8"' in shown
    assert 'aria-label="Name, row 2"' in shown
    assert "the list can be sealed" in shown
    assert "[{" not in shown


def test_the_check_follows_what_is_typed_and_keeps_nothing(desk, tom, study):  # noqa: F811
    factories.load_dass21()
    browser = desk(tom)
    assert "the list can be sealed" in check(browser, typed(study))
    assert "fewer than 12, twice the largest block" in check(browser, typed(study, expected_people=20))
    assert "expect up to 88 prompt or severe events" in check(browser, typed(study))
    assert "nobody for 336 hours of the next 14 days" in check(browser, typed(study))
    assert "No consent document in en, de" in check(browser, typed(study))
    assert "Texts and model are not frozen" in check(browser, typed(study))
    weekly = [
        {"instrument": "dass21", "start": "enrolment", "name": "baseline", "day": 0},
        *({"instrument": "dass21", "start": "allocation", "name": f"day {day}", "day": day} for day in (7, 10)),
    ]
    assert "day 10 opens 3 days after day 7" in check(browser, typed(study, lines=weekly))
    weekly[2]["more_than_weekly"] = "on"
    assert "the list can be sealed" in check(browser, typed(study, lines=weekly))
    unknown = [{"instrument": "phq9", "start": "enrolment", "name": "extra", "day": 0}]
    said = typed(study, lines=[*weekly, *unknown])
    assert "the questionnaire phq9 is not loaded" in check(browser, said)
    assert not Trial.objects.exists()


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ({"rules": [{"fact": "", "at_least": 18}]}, "Who may take part: Row 1, Fact: This field is required."),
        ({"rules": [{"fact": "age"}]}, "Rule 1 needs one or more of"),
        ({"lines": [{"instrument": "dass21", "start": "", "name": "x", "day": 0}]}, "Row 1, Days count from"),
        ({"severity_cuts": "ten"}, "Cuts on that scale: Whole numbers with commas"),
        ({"severity_cuts": "21, 10"}, "One or two ascending scores"),
        ({"block_sizes": "3"}, "multiples of 2"),
        ({"arms-1-policy": "waiting_list"}, "A waiting list needs a cross-over day"),
    ],
    ids=["no fact", "no limit", "no start", "no number", "descending", "odd block", "no cross-over"],
)
def test_a_slip_is_named_where_it_was_made(desk, tom, study, slip, said):  # noqa: F811
    factories.load_dass21()
    shown = check(desk(tom), typed(study, **slip))
    assert said in shown.replace("&#x27;", "'").replace("&quot;", '"')
    assert "cannot be sealed yet" in shown


def test_an_emptied_row_is_deleted_and_the_check_is_for_managers_alone(desk, tom, rae, draft):  # noqa: F811
    sent = typed(draft.study, rules=[{"fact": "sex", "one_of": "female"}], slug=draft.slug) | {
        f"arms-{i}-id": arm.pk for i, arm in enumerate(draft.ordered_arms())
    }
    sent |= {"arms-INITIAL_FORMS": 2, "arms-0-trial": draft.pk, "arms-1-trial": draft.pk}
    url = reverse("admin:trials_trial_check", args=[draft.pk])
    assert desk(rae).post(url, sent).status_code == 404
    assert desk(tom).post(url, sent).status_code == 200
    assert desk(tom).post(reverse("admin:trials_trial_change", args=[draft.pk]), sent).status_code == 302
    assert Trial.objects.get().eligibility == [{"fact": "sex", "one_of": ["female"]}]


def test_a_page_opened_before_the_list_was_sealed_changes_nothing_of_the_design(desk, tom, study):  # noqa: F811
    factories.load_dass21()
    browser, sent = desk(tom), typed(study)
    browser.post(reverse("admin:trials_trial_add"), sent)
    trial = Trial.objects.get()
    url = reverse("admin:trials_trial_change", args=[trial.pk])
    sent |= {f"arms-{i}-id": arm.pk for i, arm in enumerate(trial.ordered_arms())} | {"arms-INITIAL_FORMS": 2}
    sent |= {"title": "A better title", "schedule-2-day": 70}
    services.seal_list(trial=trial)
    refused = browser.post(url, sent).content.decode()
    assert "The allocation list is sealed, and with it the design is frozen: study, short name" in refused
    assert "who may take part, baseline questionnaire, questionnaires, arms cannot change any more" in refused
    assert Trial.objects.get().title == "Calm"
    assert Trial.objects.get().schedule[1]["day"] == 56
    allowed = {"title": "A better title", "expected_people": 240, "arms-TOTAL_FORMS": 0, "arms-INITIAL_FORMS": 0}
    assert browser.post(url, allowed).status_code == 302
    assert Trial.objects.get().title == "A better title"


def test_what_is_frozen_is_read_in_words(desk, tom, trial):  # noqa: F811
    shown = page(desk(tom), trial)
    assert "week 4: dass21 1, from day 28 after allocation, open for 7 days, due on day 31" in shown
    assert "Age must be at least 18" in shown
    assert "schedule-0-day" not in shown
    assert "none of it can change" in shown


def test_the_check_names_languages_without_a_text_and_translations_that_nobody_validated(draft):
    version = InstrumentVersion.objects.get()
    whole = dict.fromkeys(["title", "instructions", "items", "options", "source", "licence"], "x")
    for texts, said in [
        ({}, "no text in en, de"),
        ({"en": whole | {"status": "original"}}, "no text in de"),
        ({code: whole | {"status": "unvalidated"} for code in ("en", "de")}, "not validated in en, de"),
    ]:
        InstrumentVersion.objects.filter(pk=version.pk).update(texts=texts)
        found = [finding.text for finding in checks.findings(draft) if finding.text.startswith("Questionnaire dass21")]
        assert len(found) == 1
        assert said in found[0]
