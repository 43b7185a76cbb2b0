import io
import itertools
import json
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from interventions import reasons, services, training
from interventions.models import Decision, ModelVersion
from mhealth.people import rights
from tests.interventions import factories

pytestmark = pytest.mark.django_db


def asked(person) -> Decision:
    return services.decide(participant=person, moment=f"asked:{uuid.uuid4()}")


def replayed(decision_id, capsys) -> tuple[int, str]:
    """Exit code and what was printed."""
    try:
        call_command("replay_decision", str(decision_id))
    except CommandError as refused:
        return refused.returncode, str(refused)
    except SystemExit as ended:
        return ended.code, capsys.readouterr().out
    return 0, capsys.readouterr().out


def changed(decision: Decision, change) -> None:
    record = decision.record
    change(record)
    Decision.objects.filter(pk=decision.pk).update(sealed_record=decision.sealed(record))


def test_every_decision_of_every_policy_replays_identically(shelf, ada, ben, study, capsys):
    trial = factories.running_trial(study)
    factories.enrolled_in(ben, trial, "fixed_sequence")
    for person in (ada, ben):
        factories.checked_in(person)
        for n in range(5):
            services.decide(participant=person, moment=f"check_in:{n}")
            asked(person)
    for decision in Decision.objects.all():
        assert replayed(decision.pk, capsys) == (0, "identical\n")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["choice"].update(seed=r["choice"]["seed"] + 1), "choice: "),
        (lambda r: r["choice"]["probabilities"].reverse(), "choice: probabilities"),
        (lambda r: r["snapshot"].update(source="check_in"), "context snapshot"),
    ],
)
def test_a_record_that_was_changed_is_told(shelf, ada, capsys, change, says):
    decision = asked(ada)
    changed(decision, change)
    code, out = replayed(decision.pk, capsys)
    assert (code, says in out) == (1, True)


def test_a_text_that_was_changed_behind_our_back_is_told(shelf, ada, capsys):
    decision = asked(ada)
    type(decision.version).objects.filter(pk=decision.version_id).update(title="Something else")
    code, out = replayed(decision.pk, capsys)
    assert (code, f"version {decision.version_id}: text has changed" in out) == (1, True)


def test_an_erased_persons_decision_says_so(shelf, ada, capsys):
    decision = asked(ada)
    rights.erase(ada)
    assert replayed(decision.pk, capsys) == (3, "inputs erased\n")


@pytest.mark.parametrize("unknown", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_id_is_one_clear_line(unknown, capsys):
    assert replayed(unknown, capsys) == (2, f"there is no decision {unknown}")


def test_a_decision_that_waits_for_its_worker_cannot_be_replayed_yet(ada, capsys):
    waiting = services.ask(participant=ada, moment="asked:1")
    assert replayed(waiting.pk, capsys)[0] == 2


@pytest.fixture
def model(shelf, ada, ben, settings, tmp_path, monkeypatch) -> ModelVersion:
    """Trained on real decisions of two people over ten days: breathing helped every time, the rest never did."""
    settings.RECOMMENDER_MODELS = tmp_path / "models"
    seeds = itertools.count(1)
    monkeypatch.setattr("interventions.services.decisions.secrets.randbits", lambda _bits: next(seeds))
    for person, n in itertools.product((ada, ben), range(10)):
        at = timezone.now() - timedelta(days=20 - n)
        check_in = factories.checked_in(person, factories.fused("fear" if n % 2 else "sadness"))
        decision = services.decide(participant=person, moment=f"asked:{n}", check_in=check_in, at=at)
        helped = decision.version.activity.key == "slow-breathing"
        done = {"kind": "completed"} if helped else {"kind": "skipped", "reason": "not_fitting"}
        services.record_event(decision=decision, event_id=uuid.uuid4(), at=at, **done)
    return training.train(deliveries_least=20, people_least=2)


def test_a_trained_model_scores_from_the_next_decision_on_and_replays_to_the_digit(model, ada, capsys):
    decision = asked(ada)
    record = decision.record
    assert (record["model"], record["choice"]["policy"]) == (model.name, "personalised")
    assert record["explanation"]
    chosen = [c["activity"] for c in record["choice"]["candidates"]].index(record["choice"]["activity"])
    assert sum(record["explanation"].values()) == pytest.approx(record["choice"]["scores"][chosen], abs=1e-9)
    assert replayed(decision.pk, capsys) == (0, "identical\n")


def test_scores_that_the_model_does_not_give_are_told(model, ada, capsys):
    decision = asked(ada)
    changed(decision, lambda record: record["snapshot"]["history"].clear() or _hash_again(record))
    code, out = replayed(decision.pk, capsys)
    assert (code, "scores: " in out) == (1, True)


def _hash_again(record: dict) -> None:
    record["snapshot_sha256"] = services.decisions.digest_of(record["snapshot"])


def test_what_helped_gets_the_largest_score_and_a_reason_that_says_so(model, ada):
    record = asked(ada).record
    choice = record["choice"]
    scores = dict(zip((c["activity"] for c in choice["candidates"]), choice["scores"], strict=True))
    assert max(scores, key=scores.get) == "slow-breathing"
    keys = [reason["key"] for reason in record["reasons"]["open"]]
    assert keys[-2:] == ["sureness", "chance"]
    assert len(keys) <= reasons.MOST_OPEN + 2


def test_a_model_whose_files_are_gone_leaves_clinicians_order_and_says_so(model, ada, capsys):
    from interventions import policies

    before = asked(ada)
    (model.path / "card.json").unlink()
    policies.load.cache_clear()
    record = asked(ada).record
    assert (record["choice"]["policy"], record["fallback"]) == ("clinician_order", f"model unavailable: {model.name}")
    assert replayed(before.pk, capsys)[0] == 2


def test_a_trial_with_frozen_content_keeps_its_model(shelf, model, ada, ben, study):
    trial = factories.running_trial(study)
    services.freeze_content(trial=trial)
    factories.enrolled_in(ada, trial, "personalised")
    newer = training.train(deliveries_least=20, people_least=2, seed=1)
    assert asked(ada).record["model"] == model.name
    assert asked(ben).record["model"] == newer.name


def test_the_log_is_what_the_recommender_reads_and_names_nobody(model, ada, tmp_path):
    from recommender.log import read_log

    call_command("train_recommender", "--log-out", str(tmp_path / "log.jsonl"), stdout=io.StringIO())
    text = (tmp_path / "log.jsonl").read_text()
    assert str(ada.pk) not in text
    log = read_log(tmp_path / "log.jsonl")
    assert (len(log.people), sum(map(len, log.histories))) == (2, 20)
    assert all(0 < json.loads(line)["probability"] <= 1 for line in text.splitlines())


def test_too_few_offers_train_nothing_and_say_so(shelf, ada, capsys):
    asked(ada)
    call_command("train_recommender")
    assert "1 offers to 1 people; 100 to 10 are needed" in capsys.readouterr().out
    assert not ModelVersion.objects.exists()
    assert training.train_nightly() is None


def test_a_model_registered_without_promotion_scores_nothing(model, ada):
    ModelVersion.objects.update(promoted_at=None)
    assert asked(ada).record["model"] == ""
