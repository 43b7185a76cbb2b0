import json
from datetime import timedelta

import numpy as np
import pytest
from scipy import special

from recommender import bandits, simulator
from recommender.context import EMOTIONS, Context
from recommender.reward import RewardConfig
from recommender.simulator import UnknownWorld
from recommender.trials import play

SEED = 41  # none of the test seeds


@pytest.fixture(scope="module", params=[name for name in simulator.NAMES if name != "heartsteps"])
def world(request):
    return simulator.load(request.param)


@pytest.fixture(scope="module")
def plain():
    return simulator.load("prompted")


def within(name, value):
    low, high = simulator.intervals()[name]["interval"]
    return low <= value <= high


def test_every_world_is_the_file_that_was_committed():
    hashes = json.loads((simulator.FOLDER / "hashes.json").read_text())
    files = {path.name for path in simulator.FOLDER.glob("*.json")} - {"hashes.json"}
    assert files == set(hashes) == {f"{name}.json" for name in simulator.NAMES} | {"literature.json"}
    assert {name: simulator.digest(simulator.FOLDER / name) for name in hashes} == hashes


def test_a_world_that_was_changed_is_refused(monkeypatch, tmp_path):
    for path in simulator.FOLDER.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(simulator, "FOLDER", tmp_path)
    assert simulator.load("null").name == "null"
    (tmp_path / "null.json").write_text((tmp_path / "null.json").read_text().replace("0.36", "0.37", 1))
    with pytest.raises(UnknownWorld, match="committed hash"):
        simulator.load("null")


def test_every_parameter_has_a_source_and_lies_in_its_interval():
    known = simulator.intervals()
    for name in simulator.NAMES:
        for parameter, value in simulator.load(name).parameters.items():
            assert known[parameter]["source"]
            assert within(parameter, value), f"{name}: {parameter} {value}"


def test_test_seeds_are_ten_per_world_and_no_two_worlds_share_one():
    seeds = [seed for name in simulator.NAMES for seed in simulator.load(name).test_seeds]
    assert len(seeds) == len(set(seeds)) == 10 * len(simulator.NAMES)


def test_people_stay_improve_deteriorate_and_complete_as_in_the_literature(world):
    cohort = world.cohort(2000, SEED)
    assert within(
        "measured: completion under random offers", special.expit(cohort.logits).mean(axis=2)[cohort.present].mean()
    )
    depression, sd = cohort.dass_change[:, 0], world["dass_sd_depression"]
    reliable = 1.96 * np.sqrt(2) * sd * np.sqrt(1 - world["dass_alpha_depression"])
    assert within("measured: deteriorated", (depression > reliable).mean())
    assert within("measured: effect on depression against control", -depression.mean() / sd)
    if world["attrition_shape"] < 1:
        assert within("measured: share left on day 30, wild", cohort.present[:, 30].mean())
    else:
        assert within("measured: share gone by day 56, trial", 1 - cohort.present[:, -1].mean())


def test_personal_prediction_gains_and_late_offers_are_completed_as_in_the_literature(plain):
    cohort, rewards = plain.cohort(200, SEED), simulator.Rewards(plain, people=150)
    played = play(cohort, bandits.make("uniform", plain, cohort, SEED), rewards)
    assert within("measured: gain in MAE by personal prediction", gain_by_person(played, rewards.technique))
    # the learner that the worlds were fixed with: whether a world is like life must not hang on how good ours becomes
    head = RewardConfig(blocks=("emotion",))
    learner = bandits.make("ours, centred on the law", plain, cohort, SEED, config=head)
    learnt = play(cohort, learner, rewards)
    assert within("measured: completion of late offers by a learning policy", np.nanmean(learnt.done[:, 28:]))


def gain_by_person(played, technique):
    """Share by which knowing the person lowers the mean absolute error of rewards after day 40."""
    known = np.isfinite(played.reward)
    train, test = known.copy(), known.copy()
    train[:, 40:], test[:, :40] = False, False
    means = np.array([played.reward[train & (played.chosen == i)].mean() for i in range(24)])
    left = np.where(train, played.reward - means[np.maximum(played.chosen, 0)], 0.0)
    person = left.sum(axis=1) / (train.sum(axis=1) + 4)
    likes = np.zeros((len(left), technique.max() + 1))
    for k in range(likes.shape[1]):
        mine = train & (technique[np.maximum(played.chosen, 0)] == k)
        likes[:, k] = np.where(mine, left - person[:, None], 0.0).sum(axis=1) / (mine.sum(axis=1) + 8)
    who, chosen = np.nonzero(test)[0], played.chosen[test]
    error = np.abs(played.reward[test] - means[chosen])
    return (
        1
        - np.abs(played.reward[test] - means[chosen] - person[who] - likes[who, technique[chosen]]).mean()
        / error.mean()
    )


def test_in_the_null_world_nothing_depends_on_person_or_emotion_and_sending_does_nothing():
    null, other = simulator.load("null"), simulator.load("prompted")
    for world, told_apart in ((null, False), (other, True)):
        logits = world.cohort(50, SEED).logits
        order = np.argsort(logits, axis=2)
        assert (order != order[:1, :1]).any() == told_apart
    cohort = null.cohort(50, SEED)
    assert (cohort.mood(0, np.ones(50)) == cohort.mood(0, np.zeros(50))).all()
    cohort = other.cohort(50, SEED)
    assert cohort.mood(0, np.ones(50)) - cohort.mood(0, np.zeros(50)) == pytest.approx(0.2)
    assert (cohort.mood(25, np.ones(50)) == cohort.mood(25, np.zeros(50))).all()


def test_what_policies_see_is_the_context_of_the_recommender(plain):
    cohort = plain.cohort(30, SEED)
    for day, dose in ((0, 0), (17, 3)):
        rows = cohort.contexts(day, np.full(30, float(dose)))
        for person in range(30):
            assert rows[person] == pytest.approx(as_context(cohort, person, day, dose).vector(), abs=1e-12)


def as_context(cohort, person, day, dose):
    seen, strength = cohort.seen[person, day], cohort.world["shown_strength"]
    emotion = {name: strength if i == seen else (1 - strength) / 6 for i, name in enumerate(EMOTIONS)}
    return Context(
        emotion=emotion if seen >= 0 else None,
        modality_weights={"face": 0.5, "voice": 0.5} if seen >= 0 else {},
        dass=dict(zip(("depression", "anxiety", "stress"), map(float, cohort.dass[person, day]), strict=True)),
        dass_age_days=float(day % 14),
        local_time=simulator.START + timedelta(days=day),
        day_in_programme=float(day),
        dose_last_7_days=float(dose),
    )


def test_the_sensor_world_reads_three_of_five_emotions_right():
    for name, share in (("sensor", 0.60), ("prompted", 0.85)):
        cohort = simulator.load(name).cohort(400, SEED)
        there = cohort.seen >= 0
        assert (cohort.seen == cohort.emotion)[there].mean() == pytest.approx(share, abs=0.01)


def test_two_policies_meet_the_same_people_and_the_same_luck(plain):
    rewards = simulator.Rewards(plain, people=50)
    one, two = (play(plain.cohort(40, SEED), bandits.Uniform(24), rewards) for _ in range(2))
    assert (one.chosen == two.chosen).all()
    oracle = play(cohort := plain.cohort(40, SEED), bandits.Oracle(cohort), rewards)
    assert (oracle.sent == one.sent).all()
    assert (oracle.best == one.best)[cohort.available].all()
    assert np.nanmean(oracle.regret("own")) == 0 < np.nanmean(oracle.regret()) < np.nanmean(one.regret())


def test_offers_follow_the_law_they_are_recorded_with(plain):
    cohort, rewards = plain.cohort(1500, SEED, days=8), simulator.Rewards(plain, people=50)
    played = play(cohort, bandits.Rules(plain), rewards, keep_laws=True)
    sent = played.sent > 0
    counts = np.bincount(played.chosen[sent], minlength=24)
    expected = played.laws[sent].sum(axis=0)
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected)).all()
    assert sent[cohort.available].mean() == pytest.approx(0.6, abs=0.02)
    assert not sent[~cohort.available].any()


def test_rewards_are_those_of_the_outcome_model(plain):
    cohort, rewards = plain.cohort(60, SEED), simulator.Rewards(plain, people=80)
    chosen = np.arange(60) % 24
    parts = cohort.outcome(3, chosen)
    found = rewards.of(chosen, *parts)
    for i in range(60):
        technique = plain.activities[chosen[i]].technique
        outcome = simulator.outcome_of(*(part[i] for part in parts))
        assert (found[0][i], found[1][i]) == pytest.approx(rewards.model.reward(technique, outcome))


def test_the_heartsteps_world_takes_its_days_from_the_residuals_it_is_given():
    world = simulator.load("heartsteps")
    residuals = [np.arange(40.0), -np.arange(50.0)]
    days = world.cohort(20, SEED, residuals=residuals).day
    assert set(np.sign(days).ravel()) == {-1.0, 0.0, 1.0}
    assert (np.abs(np.diff(days, axis=1)) == 1).mean() > 0.9
    with pytest.raises(UnknownWorld, match="needs the residuals"):
        world.cohort(20, SEED)
    with pytest.raises(UnknownWorld, match="HeartSteps V1 is not part"):
        simulator.heartsteps_residuals("/nowhere")


def test_evenings_without_anybody_and_without_any_offer_are_played(plain):
    cohort, rewards = plain.cohort(3, SEED, days=6), simulator.Rewards(plain, people=30)
    cohort.available[:, 2] = False
    cohort.uniforms[:, 3, 6] = 0.99  # nothing is sent
    for name in ("ours", "LinUCB", "EASE", "clinician rules"):
        played = play(cohort, bandits.make(name, plain, cohort, SEED), rewards)
        assert not played.sent[:, 2:4].any()
        assert np.isnan(played.value[:, 2]).all()
        assert (np.isnan(played.value[:, 3]) == ~cohort.available[:, 3]).all()
        assert (played.mood[:, 2] == cohort.mood(2, np.zeros(3))).all()
