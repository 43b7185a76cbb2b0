import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from recommender.catalogue import Activity, Outcome
from recommender.context import COLUMNS, EMOTIONS, Context, stack
from recommender.outcomes import OutcomeModel, RewardDefinition
from recommender.reward import INTENDED, RewardConfig, RewardHead, Row
from tests.recommender.worlds import catalogue, log, mood

UNIFORM = dict.fromkeys(EMOTIONS, 1 / 7)


def rows_of(people=12, each=6, seed=0, activities=None):
    rng = np.random.default_rng(seed)
    n = len(activities or catalogue())
    contexts = stack([Context(emotion=mood(("fear", "sadness")[i % 2]), day_in_programme=i) for i in range(each)])
    return {
        p: [
            Row(contexts[i], int(rng.integers(n)), float(rng.normal()), 0.01 * i, rng.dirichlet(np.ones(n)))
            for i in range(each)
        ]
        for p in range(people)
    }


def dense_posterior(head, people):
    """The joint normal posterior over shared and all personal coefficients, written out in full."""
    d, q, u = len(head.names_), len(head.person_variance), len(people)
    x, y, noise = [], [], []
    for p, rows in people.items():
        shared, own, _, _ = head.design(rows)
        for row, mine, likes in zip(rows, shared, own, strict=True):
            line = np.zeros(d + q * u)
            line[:d], line[d + q * p : d + q * (p + 1)] = mine, likes
            x.append(line)
            y.append(row.reward)
            noise.append(head.config.noise**2 + row.reward_variance)
    x, noise = np.array(x), np.array(noise)
    prior = np.concatenate([head.prior_variance, *[head.person_variance] * u])
    covariance = np.linalg.inv(np.diag(1 / prior) + (x.T / noise) @ x)
    return covariance @ (x.T / noise) @ np.array(y), covariance


def test_the_pooled_fit_and_each_persons_posterior_are_those_of_the_full_joint_model():
    people = rows_of()
    head = RewardHead(catalogue()).fit(people)
    mean, covariance = dense_posterior(head, people)
    d, q = len(head.names_), len(head.person_variance)
    person = head.personal(in_fit=people[3])
    mine = np.r_[0:d, d + 3 * q : d + 4 * q]
    assert person.mean == pytest.approx(mean[mine], abs=1e-9)
    assert person.covariance == pytest.approx(covariance[np.ix_(mine, mine)], abs=1e-9)


def test_rank_one_updates_equal_a_fit_that_has_seen_the_deliveries():
    people = rows_of()
    before = {p: rows[:-2] if p == 3 else rows for p, rows in people.items()}
    late = RewardHead(catalogue()).fit(before).personal(in_fit=before[3], since=people[3][-2:])
    one_by_one = RewardHead(catalogue()).fit(before).personal(in_fit=before[3])
    for row in people[3][-2:]:
        one_by_one.update(row)
    full = RewardHead(catalogue()).fit(people).personal(in_fit=people[3])
    for person in (late, one_by_one):
        assert person.mean == pytest.approx(full.mean, abs=1e-9)
        assert person.covariance == pytest.approx(full.covariance, abs=1e-9)


def test_what_each_delivery_added_sums_to_what_a_person_differs_by():
    people = rows_of()
    head = RewardHead(catalogue()).fit({p: rows for p, rows in people.items() if p != 3})
    person = head.personal(in_fit=people[4][:2], since=people[3])
    nobody = np.concatenate([head.mean_, np.zeros(len(head.person_variance))])
    assert person.influence.shape == (8, len(nobody))
    assert person.mean == pytest.approx(nobody + person.influence.sum(axis=0), abs=1e-12)
    again = head.personal(in_fit=people[4][:2], since=people[3][:-1])
    assert person.influence[:-1] != pytest.approx(again.influence, abs=1e-6)  # each speaks beside all others


def test_features_of_a_delivery_are_those_of_its_activity_less_their_mean_under_the_law():
    some = [replace(a, tags=("for:fear",)) if i == 2 else a for i, a in enumerate(catalogue())]
    head = RewardHead(some)
    for row in rows_of()[0]:
        phi = head.features(row.context)
        x, z, y, noise = head.design([row])
        assert x[0] == pytest.approx(phi[row.activity] - row.law @ phi + head.baseline(row.context))
        own = head.own_features()
        assert z[0] == pytest.approx([1.0, *(own[row.activity] - row.law @ own)])
        assert (y[0], noise[0]) == (row.reward, 0.3**2 + row.reward_variance)


def test_an_activity_made_for_an_emotion_is_preferred_there_until_the_data_say_otherwise():
    activities = [*catalogue(), Activity("x", "origami", ("for:fear",)), Activity("y", "origami")]
    afraid, nothing = Context(emotion=mood("fear")).vector(), Context().vector()
    head = RewardHead(activities)
    mean, _ = head.score(afraid)
    assert mean[9] - mean[10] == pytest.approx(RewardConfig().intended * (0.8 - 1 / 7))
    assert head.score(nothing)[0] == pytest.approx(0.0)
    assert head.without("emotion").score(afraid)[0] == pytest.approx(0.0)
    harmful = {p: [Row(afraid, 9, -0.5), Row(afraid, 10, 0.5)] * 5 for p in range(30)}
    learnt, _ = RewardHead(activities).fit(harmful).score(afraid)
    assert learnt[9] < learnt[10]
    assert INTENDED in head.personal().explain(afraid, 9)
    assert RewardHead(activities, RewardConfig(intended_sd=0.0)).score(afraid)[0] == pytest.approx(0.0)


def test_a_silent_column_favours_no_activity():
    config = RewardConfig(silent=("day_in_programme",))
    early, late = (Context(emotion=mood("fear"), day_in_programme=day).vector() for day in (0, 40))
    silent, talkative = (RewardHead(catalogue(), each).fit(rows_of()) for each in (config, RewardConfig()))
    moved = [np.ptp(head.score(late)[0] - head.score(early)[0]) for head in (silent, talkative)]
    assert moved[0] == pytest.approx(0.0, abs=1e-12)
    assert moved[1] > 1e-4
    assert COLUMNS.index("day_in_programme") not in silent.without("emotion").columns
    assert RewardConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_a_card_from_before_these_priors_were_chosen_means_what_it_meant():
    old = {"noise": 0.25, "blocks": ["emotion"]}
    config = RewardConfig.from_dict(old)
    assert (config.slow, config.attribute, config.noise, config.blocks) == (0.1, 0.15, 0.25, ("emotion",))
    assert config.intended_sd == 0.0
    assert RewardConfig.from_dict(asdict(RewardConfig())) == RewardConfig()
    former = OutcomeModel(per_technique=True).fit(["x", "y"], [Outcome(True, 5, 0.5), Outcome(False, 2, 0.0)]).to_dict()
    card = {key: value for key, value in former.items() if key != "per_technique"}
    assert OutcomeModel.from_dict(card).to_dict() == former


def test_without_personal_effects_the_fit_is_ridge_regression():
    config = RewardConfig(person=1e-9, person_attribute=1e-9)
    people = {p: [Row(r.context, r.activity, r.reward, 0.0, r.law) for r in rows] for p, rows in rows_of().items()}
    head = RewardHead(catalogue(), config).fit(people)
    x = np.vstack([head.design(rows)[0] for rows in people.values()])
    y = [row.reward for rows in people.values() for row in rows]
    scale = np.sqrt(head.prior_variance)
    oracle = Ridge(alpha=config.noise**2, fit_intercept=False).fit(x * scale, y)
    assert head.mean_ == pytest.approx(oracle.coef_ * scale, abs=1e-6)


def test_personal_effects_are_shrunken_towards_everybody():
    activities, calm = catalogue(), Context().vector()
    everyone = {p: [Row(calm, 1, 0.0), Row(calm, 0, 0.0)] * 3 for p in range(30)}
    head = RewardHead(activities).fit(everyone)
    once, often = [head.personal(since=[Row(calm, 1, 0.5)] * n) for n in (1, 40)]
    after_one, after_many = once.score(calm)[0], often.score(calm)[0]
    nobody = head.score(calm)[0]
    assert nobody[1] - nobody[0] < after_one[1] - after_one[0] < after_many[1] - after_many[0] < 0.5
    assert after_many[4] > after_many[0]  # another journaling activity gains with it


@pytest.mark.parametrize("emotion", [UNIFORM, None])
def test_an_emotion_that_says_nothing_ranks_like_a_head_without_the_emotion_block(emotion):
    people = rows_of()
    head = RewardHead(catalogue()).fit(people).personal(in_fit=people[0][:3], since=people[0][3:])
    context = Context(emotion=emotion, modality_weights={"face": 0.9}, dass={"depression": 30}).vector()
    mean, sd = head.score(context)
    mean_without, sd_without = head.without("emotion").score(context)
    assert list(np.argsort(mean)) == list(np.argsort(mean_without))
    assert mean - mean.mean() == pytest.approx(mean_without - mean_without.mean(), abs=1e-12)
    assert sd == pytest.approx(sd_without, abs=1e-12)
    fearful = Context(emotion=mood("fear", 0.99), dass={"depression": 30}).vector()
    moved, _ = head.score(fearful)
    assert moved - moved.mean() != pytest.approx(mean_without - mean_without.mean(), abs=1e-3)


def test_how_the_emotion_was_sensed_alone_favours_no_activity():
    head = RewardHead(catalogue()).fit(rows_of())
    one, _ = head.score(Context(modality_weights={"face": 1.0}).vector())
    other, _ = head.score(Context(modality_weights={"voice": 0.2}).vector())
    assert one - one.mean() == pytest.approx(other - other.mean(), abs=1e-12)


def test_the_parts_of_an_explanation_add_up_to_the_score():
    head, extra = RewardHead(catalogue(), extra_names=["engagement"]), np.linspace(-1, 1, 9)[:, None]
    people = {p: [Row(r.context, r.activity, r.reward, extra=extra) for r in rows] for p, rows in rows_of().items()}
    person = head.fit(people).personal(in_fit=people[0])
    context = Context(emotion=mood("fear"), dass={"stress": 20}).vector()
    mean, _ = person.score(context, extra=extra)
    for i in range(9):
        parts = person.explain(context, i, extra=extra)
        assert sum(parts.values()) == pytest.approx(mean[i], abs=1e-12)
    assert {"baseline", "model:engagement", "activity:a8", "personal:technique:grounding"} <= parts.keys()


def test_a_new_activity_is_scored_from_its_attributes_and_is_less_certain():
    head = RewardHead(catalogue()).fit({0: [Row(Context().vector(), 0, 0.6), Row(Context().vector(), 1, -0.6)] * 20})
    offered = [*catalogue(), Activity("new", "breathing", ("body",)), Activity("stranger", "origami")]
    mean, sd = head.score(Context().vector(), offered)
    assert mean[9] > mean[1]
    assert sd[9] > sd[3]  # a3 is the same kind of activity
    assert mean[10] < mean[9]
    assert head.score(Context().vector(), [])[0].shape == (0,)


def test_one_activity_and_three_hundred_are_defined():
    one = RewardHead(catalogue(1)).score(Context().vector())
    assert (one[0].shape, one[1][0]) == ((1,), 0.0)  # nothing tells one activity apart
    many = RewardHead(catalogue(300)).score(Context().vector())
    assert many[0].shape == (300,)
    assert (many[1] > 0).all()


def test_a_complete_outcome_is_worth_its_definition_and_is_centred_on_all_or_on_its_technique():
    good, bad = Outcome(True, 5, 1.0), Outcome(False, 1, -1.0)
    model = OutcomeModel().fit(["breathing", "journaling"], [good, bad])
    assert model.reward("breathing", good) == (pytest.approx(0.5), 0.0)
    assert model.reward("journaling", bad) == (pytest.approx(-0.5), 0.0)
    apart = OutcomeModel(strength=1e-9, per_technique=True)
    apart.fit(["breathing"] * 2 + ["journaling"], [good, bad, bad])
    assert apart.reward("breathing", good) == (pytest.approx(0.5), 0.0)
    assert apart.reward("breathing", bad) == (pytest.approx(-0.5), 0.0)
    assert apart.reward("journaling", bad) == (pytest.approx(0.0, abs=1e-6), 0.0)
    only_done = OutcomeModel(RewardDefinition(1.0, 0.0, 0.0), strength=1e-9).fit(["x", "x"], [good, bad])
    assert only_done.reward("x", good)[0] == pytest.approx(0.5)


def test_a_missing_answer_is_predicted_from_its_like_and_is_less_certain():
    outcomes = [Outcome(True, 5, 0.0), Outcome(True, 5, 0.0), Outcome(True, None, 0.0), Outcome(False, 1, 0.0)]
    model = OutcomeModel(strength=1e-9).fit(["breathing"] * 4, outcomes)
    told, _ = model.reward("breathing", outcomes[0])
    silent, variance = model.reward("breathing", outcomes[2])
    assert silent == pytest.approx(told)
    assert 0 <= variance < 1e-6  # those who told all said the same
    unsure = OutcomeModel().fit(["breathing"] * 4, outcomes)
    assert unsure.reward("breathing", outcomes[2])[1] > 0
    assert OutcomeModel().reward("never seen", Outcome())[1] == pytest.approx((0.25 + 0.09 + 0.04) / 12)


def test_the_outcome_model_survives_json():
    histories, _, activities = log(people=5)
    technique = {a.id: a.technique for a in activities}
    flat = [d for history in histories for d in history]
    model = OutcomeModel().fit([technique[d.activity] for d in flat], [d.outcome for d in flat])
    again = OutcomeModel.from_dict(model.to_dict())
    assert again.reward("breathing", Outcome(True)) == model.reward("breathing", Outcome(True))


def test_impossible_answers_are_refused():
    Outcome(True, 5, 1.0)
    for answers in ((True, 6, 0.0), (True, 3, 2.0)):
        with pytest.raises(ValueError, match="must be from"):
            Outcome(*answers)


def test_columns_and_coefficients_agree():
    head = RewardHead(catalogue())
    assert len(head.names_) == len(head.mean_) == head.features(np.ones(len(COLUMNS))).shape[1]
