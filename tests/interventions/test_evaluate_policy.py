import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from interventions import policies, services, training
from interventions.models import Decision, DecisionEvent
from mhealth.platform.models import AuditEvent
from recommender import ope
from tests.factories import participant
from tests.interventions import factories

pytestmark = pytest.mark.django_db
BEST = "five-senses"


def offered(person, times: int) -> None:
    """Offers that were asked for; those of one activity are completed and liked, the others skipped."""
    for n in range(times):
        moment, at = f"asked:{uuid.uuid4()}", timezone.now() - timedelta(days=times - n)
        decision = services.decide(participant=person, moment=moment, at=at)
        good = decision.version.activity.key == BEST
        heard = [("completed", None), ("rated", 5)] if good else [("skipped", None), ("rated", 1)]
        for kind, value in heard:
            at = decision.decided_at + timedelta(hours=1)
            DecisionEvent.objects.create(id=uuid.uuid4(), decision=decision, kind=kind, at=at, value=value)


def evaluated(capsys, policy="uniform", by="rae@example.org", study="calm", reason="yearly review") -> tuple[int, str]:
    try:
        call_command("evaluate_policy", study, policy, by=by, reason=reason)
    except CommandError as refused:
        return refused.returncode, str(refused)
    except SystemExit as ended:
        return ended.code, capsys.readouterr().out
    return 0, capsys.readouterr().out


@pytest.fixture(autouse=True)
def models_folder(settings, tmp_path):
    settings.RECOMMENDER_MODELS = tmp_path / "models"


@pytest.fixture
def log(shelf, ada, ben):
    for person in (ada, ben):
        offered(person, 12)


@pytest.fixture
def small_samples(monkeypatch):
    """Two dozen offers would be refused, rightly."""
    plain = ope.estimate
    monkeypatch.setattr(ope, "estimate", lambda *given, **named: plain(*given, **named, least_sample=1))


def test_the_value_of_a_policy_is_estimated_from_the_log_and_audited(log, rae, small_samples, capsys):
    code, out = evaluated(capsys, "logged", by=rae.email)
    earned = float(out.split("earned ")[1].split()[0])
    snips = float(out.split("SNIPS")[1].split()[0])
    assert (code, snips) == (0, pytest.approx(earned, abs=1e-3))
    assert "immediate effect of one decision" in out
    event = AuditEvent.objects.get(action="policy.evaluated")
    assert (event.actor, event.details["policy"], event.details["n"]) == (str(rae.pk), "logged", 24)


def test_what_people_took_instead_never_enters_the_evaluation(log, rae, small_samples, capsys):
    before = evaluated(capsys, by=rae.email)
    for decision in Decision.objects.offered():
        for kind in DecisionEvent.ABOUT_OTHERS:
            DecisionEvent.objects.create(id=uuid.uuid4(), decision=decision, kind=kind, at=decision.decided_at, value=1)
    assert before[0] == 0
    assert evaluated(capsys, by=rae.email) == before


def test_the_uniform_policy_weighs_each_offer_by_the_probability_it_was_made_with(log, rae, small_samples, capsys):
    code, out = evaluated(capsys, by=rae.email)
    weights = 0.0
    for decision in Decision.objects.offered():
        choice = decision.record["choice"]
        eligible = [not candidate["closed_by"] for candidate in choice["candidates"]]
        names = [candidate["activity"] for candidate in choice["candidates"]]
        key = decision.version.activity.key
        weights += 1 / sum(eligible) / choice["probabilities"][names.index(key)]
    assert code == 0
    snips, ips = (float(out.split(f"\n{name}")[1].split()[0]) for name in ("SNIPS", "IPS"))
    assert snips * weights / 24 == pytest.approx(ips, abs=2e-3)


def test_a_log_that_says_too_little_is_refused_with_its_effective_sample_size(log, rae, capsys):
    code, out = evaluated(capsys, by=rae.email)
    assert code == 1
    assert "SNIPS  refused: effective sample size" in out
    assert "of 24 decisions, 100 needed" in out


def test_offers_of_a_masked_trial_do_not_count(shelf, study, team, ada, ben, rae, small_samples, capsys):
    for person in (ada, participant(team, "gil")):
        offered(person, 6)
    factories.enrolled_in(ben, factories.running_trial(study), "fixed_sequence")
    offered(ben, 3)
    code, out = evaluated(capsys, "logged", by=rae.email)
    assert (code, "12 offers earned" in out) == (0, True)
    assert "3 offers left out: their trial is masked" in out


def test_offers_that_were_no_choice_do_not_count(shelf, study, team, ada, ben, rae, small_samples, capsys):
    for person in (ada, participant(team, "gil")):
        offered(person, 6)
    trial = factories.running_trial(study)
    factories.enrolled_in(ben, trial, "fixed_sequence")
    offered(ben, 3)
    type(trial).objects.filter(pk=trial.pk).update(unblinded_at=timezone.now())
    code, out = evaluated(capsys, "uniform", by=rae.email)
    assert (code, "12 offers earned" in out) == (0, True)
    assert "3 offers left out: drawn without a choice" in out


def test_a_registered_model_is_evaluated_by_the_law_it_would_have_drawn_from(log, rae, small_samples, capsys):
    model = training.train(deliveries_least=20, people_least=2)
    code, out = evaluated(capsys, model.name, by=rae.email)
    assert (code, f"{model.name}: mean reward of one offer; 24 offers" in out) == (0, True)
    learnt, chance = (float(text.split("SNIPS")[1].split()[0]) for text in (out, evaluated(capsys, by=rae.email)[1]))
    assert learnt > chance
    model.path.joinpath("card.json").write_text("{}")
    policies.load.cache_clear()
    assert evaluated(capsys, model.name, by=rae.email) == (2, f"the files of {model.name} are gone or have changed")


def test_only_a_researcher_of_the_study_evaluates_its_policies(log, rae, tom, carol, small_samples, capsys):
    assert evaluated(capsys, by=rae.email)[0] == 0
    for other in (tom, carol):
        code, says = evaluated(capsys, by=other.email)
        assert (code, says) == (2, f"{other.email} is no researcher of calm")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"policy": "magic"}, "magic: neither logged nor uniform nor a registered model"),
        ({"study": "other"}, "no study other"),
        ({"by": "nobody@example.org"}, "no user nobody@example.org"),
        ({"reason": " "}, "no reason was given"),
    ],
)
def test_wrong_words_are_refused_in_one_line(study, rae, capsys, wrong, says):
    assert evaluated(capsys, **{"by": rae.email, **wrong}) == (2, says)


def test_without_any_offer_there_is_nothing_to_evaluate(study, rae, capsys):
    assert evaluated(capsys, by=rae.email) == (1, "uniform: no offer counts")
