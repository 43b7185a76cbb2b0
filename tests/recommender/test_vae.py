import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import torch

from recommender import fitting
from recommender.catalogue import Activity, Delivery, Outcome
from recommender.context import COLUMNS, EMOTIONS, Context
from recommender.fitting import chosen_by_halves
from recommender.linear import Ease
from recommender.vae import IncompatibleModel, NothingToLearn, Recommender, VaeConfig
from tests.recommender.worlds import START, catalogue, log, mood

QUICK = VaeConfig(epochs=6, patience=3, latent=6, width=12)
UNIFORM = dict.fromkeys(EMOTIONS, 1 / 7)
FEARFUL = Context(emotion=mood("fear"), modality_weights={"face": 0.5, "voice": 0.5}, local_time=START)
SAD = replace(FEARFUL, emotion=mood("sadness"))
BREATHING, JOURNALING = {"a0", "a3", "a6"}, {"a1", "a4", "a7"}


@pytest.fixture(scope="module")
def data():
    return log()


@pytest.fixture(scope="module")
def model(data):
    return Recommender(QUICK, seed=0).fit(*data)


@pytest.fixture(scope="module")
def with_deep_part(data):
    """The same model with its latent part switched on by hand, to test that part whatever validation says of it."""
    model = Recommender(QUICK, seed=0).fit(*data)
    with torch.no_grad():
        model.network_.gain.fill_(0.7)
    return model


def best(ranking, k=3):
    return {one.activity for one in ranking[:k]}


def test_a_new_person_gets_what_works_in_the_present_emotion(model):
    assert best(model.rank([], FEARFUL)) == BREATHING
    assert best(model.rank([], SAD)) == JOURNALING
    for context, liked in ((FEARFUL, BREATHING), (SAD, JOURNALING)):
        mean, sd = model.score([], context)
        assert {f"a{i}" for i in np.argsort(-mean)[:3]} == liked
        assert (sd > 0).all()


def test_a_person_with_a_history_gets_what_worked_for_them():
    histories, contexts, activities = log(people=60, by="person")
    model = Recommender(QUICK, seed=0).fit(histories, contexts, activities)
    for person, liked in ((0, BREATHING), (1, JOURNALING), (2, {"a2", "a5", "a8"})):
        mean, _ = model.score(histories[person], contexts[person][0])
        assert {f"a{i}" for i in np.argsort(-mean)[:3]} == liked


def test_experience_since_the_training_moves_only_that_persons_scores(model):
    later = model.data_until_ + timedelta(days=1)
    loved = Outcome(completed=True, helpfulness=5, mood_change=1.0)
    since = [Delivery("a8", later + timedelta(hours=i), loved, FEARFUL) for i in range(8)]
    before, after = model.score([], FEARFUL)[0], model.score(since, FEARFUL)[0]
    assert after[8] - after[1] > before[8] - before[1] + 0.05
    assert model.score([], FEARFUL)[0] == pytest.approx(before, abs=0)


def test_every_night_rewards_are_learnt_anew_from_the_longer_log_while_the_network_stays(data, model):
    histories, contexts, activities = data
    week = Recommender(QUICK, seed=0).fit([h[:10] for h in histories], [c[:10] for c in contexts], activities)
    logits, mean = week.logits(histories[0], FEARFUL), week.score(histories[0], FEARFUL)[0]
    week.refit_rewards(histories, contexts)
    assert week.logits(histories[0], FEARFUL) == pytest.approx(logits, abs=0)
    assert week.score(histories[0], FEARFUL)[0] != pytest.approx(mean, abs=1e-3)
    assert (week.data_hash_, week.data_until_) == (model.data_hash_, model.data_until_)
    assert _posterior(week, histories[0], True, "personal").updates == 0
    with pytest.raises(NothingToLearn):
        week.refit_rewards([[]], [[]])
    with pytest.raises(IncompatibleModel, match="without contexts"):
        Recommender(QUICK, seed=0).fit(histories, None, activities).refit_rewards(histories, contexts)


def _posterior(model, history, in_training, update_rule):
    return model._asked(history, FEARFUL, None, in_training, update_rule, None)[0]


def test_a_frozen_model_does_not_learn_from_what_came_after_it_and_no_model_sees_the_future(model, data):
    loved = Outcome(completed=True, helpfulness=5, mood_change=1.0)
    known = data[0][0]
    late = [*known, Delivery("a8", model.data_until_ + timedelta(days=1), loved, FEARFUL)]
    asked = model.data_until_ + timedelta(days=2)
    person = [_posterior(model, h, True, rule) for h, rule in ((late, "frozen"), (known, "personal"))]
    assert person[0].mean == pytest.approx(person[1].mean, abs=0)
    assert person[1].updates == 0
    assert _posterior(model, late, True, "personal").updates == 1
    assert _posterior(model, late, False, "personal").updates == len(late)
    before = model.score(known, FEARFUL, at=model.data_until_)[0]
    assert model.score(late, FEARFUL, at=model.data_until_)[0] == pytest.approx(before, abs=0)
    assert model.score(late, FEARFUL, at=asked)[0] != pytest.approx(before, abs=1e-6)
    with pytest.raises(ValueError, match="update_rule"):
        model.score(known, FEARFUL, update_rule="whenever")


def test_one_persons_posterior_is_that_of_the_pooled_fit(model, data):
    """The rows rebuilt from a history are those the head was fitted to: taken in once more, they would count twice."""
    histories, contexts, _ = data
    rebuilt = {p: _posterior(model, history, False, "personal") for p, history in enumerate(histories[:2])}
    once = _posterior(model, histories[0], True, "personal")
    assert once.updates == 0
    assert np.trace(rebuilt[0].covariance) < np.trace(once.covariance)
    assert once.mean[: len(model.reward_head_.mean_)] == pytest.approx(model.reward_head_.mean_, abs=1e-12)


@pytest.mark.parametrize("emotion", [UNIFORM, None])
def test_an_emotion_that_says_nothing_ranks_like_a_model_without_the_emotion_block(with_deep_part, data, emotion):
    silent, without = replace(SAD, emotion=emotion), _without_emotion(with_deep_part)
    for past in ([], data[0][0]):
        rankings = [[one.activity for one in m.rank(past, silent)] for m in (with_deep_part, without)]
        assert rankings[0] == rankings[1]
        assert with_deep_part.rank(past, SAD) != without.rank(past, SAD)  # where it says something, it counts
    mine, other = (m.score([], silent)[0] for m in (with_deep_part, without))
    assert mine - mine.mean() == pytest.approx(other - other.mean(), abs=1e-9)


def _without_emotion(model):
    """A copy whose every weight on an emotion column is cut out."""
    other = Recommender(model.config, model.seed)
    other.__dict__.update(model.__dict__)
    network = type(model.network_)(
        model.config, len(model.activities_), len(model.reader_.attribute_names), len(COLUMNS)
    )
    network = network.to(torch.float64)
    network.load_state_dict(model.network_.state_dict())
    with torch.no_grad():
        for weights in (network.context_activity, network.context_in):
            weights[:8] = 0.0  # the emotion block comes first
    assert all(name.startswith("emotion_") for name in COLUMNS[:8])
    other.network_, other.reward_head_ = network.eval(), model.reward_head_.without("emotion")
    return other


def test_the_parts_of_an_explanation_add_up_to_the_score(with_deep_part, data):
    for past in ([], data[0][3], data[0][3][:1]):
        mean, _ = with_deep_part.score(past, SAD)
        for i, activity in enumerate(with_deep_part.activities_):
            parts = with_deep_part.explain(past, SAD, activity.id)
            assert sum(parts.values()) == pytest.approx(mean[i], abs=1e-10)
    parts = with_deep_part.explain(data[0][3], SAD, "a1")
    kinds = {name.partition(":")[0] for name in parts}
    assert {"past", "context", "repeat", "bias", "latent", "attribute", "baseline"} <= kinds


def test_taking_a_past_delivery_away_takes_its_reason_away(model, data):
    history = data[0][3]
    done = next(d.activity for d in history if d.outcome.completed)
    assert f"past:{done}" in model.explain(history, SAD, "a2")
    shorter = [d for d in history if d.activity != done]
    assert f"past:{done}" not in model.explain(shorter, SAD, "a2")


def test_without_history_the_latent_state_is_the_prior_of_the_context(with_deep_part):
    fearful, sad = (_expected_z(with_deep_part, [], context) for context in (FEARFUL, SAD))
    assert not torch.allclose(fearful, sad)
    network = with_deep_part.network_
    batch = with_deep_part.reader_.batch(*with_deep_part.reader_.asked([([], SAD, None)]), with_deep_part.ease_)
    with torch.no_grad():
        _, _, present = network.encode(batch, network.keys(with_deep_part.items_))
        log_weights, means, _ = network.prior_parts(present)
    assert torch.allclose(sad, (log_weights.exp()[:, :, None] * means).sum(dim=1))


def _expected_z(model, history, context):
    people, moments = model.reader_.asked([(history, context, None)])
    batch = model.reader_.batch(people, moments, model.ease_)
    with torch.no_grad():
        return model.network_.expected_z(batch, model.network_.keys(model.items_))


def test_attention_ignores_padding_and_older_deliveries_count_less(with_deep_part, data):
    network, history = with_deep_part.network_, data[0][0]
    one = with_deep_part.reader_.batch(*with_deep_part.reader_.asked([(history[:3], SAD, None)]), with_deep_part.ease_)
    both = with_deep_part.reader_.batch(
        *with_deep_part.reader_.asked([(history[:3], SAD, None), (history, SAD, None)]), with_deep_part.ease_
    )
    keys = network.keys(with_deep_part.items_)
    with torch.no_grad():
        assert torch.allclose(network.expected_z(one, keys)[0], network.expected_z(both, keys)[0])
        tokens = torch.zeros(1, 2, 12, dtype=torch.float64)
        tokens[0, 0, 0], tokens[0, 1, 1] = 1.0, 1.0  # told apart by their coordinate, alike to the query
        network.attend.weight.zero_()
        network.attend.bias.zero_()
        ages = torch.tensor([[30.0, 1.0]], dtype=torch.float64)
        seen = torch.ones(1, 2, dtype=torch.bool)
        batch = replace(one, age_days=ages, seen=seen)
        pooled = network.pool(batch, tokens, torch.zeros(1, 12, dtype=torch.float64))[0]
    assert pooled[1] > pooled[0] > 0


def test_a_new_activity_is_placed_by_its_attributes(model):
    offered = [*catalogue(), Activity("new-breath", "breathing", ("body",)), Activity("new-page", "journaling")]
    ranking = [one.activity for one in model.rank([], FEARFUL, offered)]
    assert ranking.index("new-breath") < ranking.index("new-page")
    ranking = [one.activity for one in model.rank([], SAD, offered)]
    assert ranking.index("new-page") < ranking.index("new-breath")
    mean, sd = model.score([], SAD, offered)
    assert mean[10] > mean[9]
    assert sd[9] > sd[0]


def test_the_order_in_which_activities_are_offered_does_not_matter(with_deep_part, data):
    history, offered = data[0][5], catalogue()
    forward = with_deep_part.score(history, SAD, offered)[0]
    backward = with_deep_part.score(history, SAD, offered[::-1])[0]
    assert forward == pytest.approx(backward[::-1], abs=1e-12)
    assert with_deep_part.score(history, SAD)[0] == pytest.approx(forward, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 300])
def test_one_activity_and_three_hundred_are_defined(n):
    histories, contexts, activities = log(people=12, deliveries=6, n=n)
    model = Recommender(replace(QUICK, epochs=1), seed=0).fit(histories, contexts, activities)
    for past in ([], histories[0]):
        assert len(model.rank(past, SAD)) == n
        mean, sd = model.score(past, SAD)
        assert np.isfinite(mean).all()
        assert (sd >= 0).all()
        assert sum(model.explain(past, SAD, "a0").values()) == pytest.approx(mean[0], abs=1e-10)
    assert model.rank([], SAD, activities=[]) == []


def test_a_deep_part_that_does_not_pay_is_switched_off_and_the_report_says_so():
    rng = np.random.default_rng(0)
    noise = (rng.random((80, 12)) < 0.3).astype(float)
    model = Recommender(replace(QUICK, significance=0.01), seed=0).fit_matrix(noise, catalogue(12))
    assert model.report_["deep_stays"] is False
    assert model.network_.gain.item() == 0.0
    assert model.report_["ndcg_linear"] >= model.report_["ndcg_ease"]


def test_without_contexts_the_model_is_at_least_its_linear_path():
    rng = np.random.default_rng(1)
    x = np.zeros((200, 20))
    for user, row in enumerate(x):
        row[rng.choice(10, 6, replace=False) + 10 * (user % 2)] = 1
    model = Recommender(replace(QUICK, deep=False, epochs=0), seed=0).fit_matrix(x, catalogue(20))
    ease = Ease(QUICK.regularisation).fit(x).score(x)
    ours = model.logits_of_matrix(x)
    assert (np.argsort(-ours, axis=1)[:, :5] == np.argsort(-ease, axis=1)[:, :5]).all()
    histories = [[Delivery(f"a{i}", START, Outcome(completed=True)) for i in np.flatnonzero(row)] for row in x]
    listed = Recommender(replace(QUICK, deep=False, epochs=0), seed=0).fit(histories, None, catalogue(20))
    assert listed.logits_of_matrix(x) == pytest.approx(ours)
    with pytest.raises(IncompatibleModel, match="without contexts"):
        listed.score([], SAD)


def test_the_same_seed_learns_the_same_model(data, model):
    again = Recommender(QUICK, seed=0).fit(*data)
    assert again.score(data[0][0], SAD)[0] == pytest.approx(model.score(data[0][0], SAD)[0], abs=0)
    assert again.data_hash_ == model.data_hash_


def test_a_saved_model_says_the_same_and_its_card_names_data_and_catalogue(tmp_path, with_deep_part, data):
    with_deep_part.save(tmp_path / "m")
    again = Recommender.load(tmp_path / "m")
    assert again.score(data[0][2], SAD)[0] == pytest.approx(with_deep_part.score(data[0][2], SAD)[0], abs=0)
    assert again.explain(data[0][2], SAD, "a3") == with_deep_part.explain(data[0][2], SAD, "a3")
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert [a["id"] for a in card["activities"]] == [f"a{i}" for i in range(9)]
    assert (len(card["data_hash"]), card["format"]) == (64, "recommender-vae/1")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["card.json", "model.safetensors"]


def test_other_formats_and_mixed_up_files_are_refused(tmp_path, model):
    folder = model.save(tmp_path / "m")
    assert Recommender.load(folder).activities_ == model.activities_
    card = json.loads((folder / "card.json").read_text())
    tensors = (folder / "model.safetensors").read_bytes()
    for damage in (
        lambda: (folder / "card.json").write_text(json.dumps({**card, "format": "recommender-vae/0"})),
        lambda: (folder / "card.json").write_text("[]"),
        lambda: (folder / "card.json").write_text(json.dumps({**card, "columns": ["mood"]})),
        lambda: (folder / "model.safetensors").write_bytes(tensors[:-4] + b"\0\0\0\1"),
        lambda: (folder / "model.safetensors").rename(folder / "model.pt"),
    ):
        damage()
        with pytest.raises(IncompatibleModel):
            Recommender.load(folder)
        (folder / "card.json").write_text(json.dumps(card))
        (folder / "model.safetensors").write_bytes(tensors)


def test_a_log_without_a_known_activity_teaches_nothing():
    stranger = [[Delivery("x", START, Outcome(completed=True), SAD)]]
    with pytest.raises(NothingToLearn):
        Recommender(QUICK).fit(stranger, [[SAD]], catalogue())
    with pytest.raises(NothingToLearn):
        Recommender(QUICK).fit([], [], catalogue())
    with pytest.raises(ValueError, match="differ"):
        Recommender(QUICK).fit(stranger, [[SAD]], [*catalogue(), *catalogue()])


def test_a_handful_of_deliveries_is_enough_to_start():
    histories, contexts, activities = log(people=2, deliveries=2)
    model = Recommender(QUICK).fit(histories, contexts, activities)
    mean, sd = model.score(histories[0], SAD)
    assert np.isfinite(mean).all()
    assert (sd > 0).all()


def test_where_the_order_of_a_history_matters_the_deep_part_stays():
    """Everybody wants the technique after the one done last: no sum over past activities can know that."""
    model = Recommender(VaeConfig(epochs=20), seed=0).fit(*log(people=100, by="turn"))
    assert model.report_["deep_stays"] is True
    assert model.report_["ndcg_deep"] > model.report_["ndcg_linear"] + 0.03
    assert model.network_.gain.item() != 0.0


def either_or(people, seed):
    """Two sides of taste, four items for each of their values, and four for people whose sides agree, or do not."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(2, size=(2, people))
    likes = np.stack([a, 1 - a, b, 1 - b, a ^ b, 1 - (a ^ b)], axis=1)
    return (rng.random((people, 24)) < np.repeat(np.where(likes, 0.8, 0.05), 4, axis=1)).astype(float)


@pytest.mark.parametrize("deep", [True, False])
def test_in_a_table_too_the_deep_part_stays_where_no_sum_over_items_can_know(deep):
    shown = either_or(80, seed=1)
    wanted = shown.copy()
    shown[:, 16:], wanted[:, :16] = 0, 0  # both sides are shown, whether they agree is asked
    config = replace(QUICK, deep=deep, epochs=15, mixture=1, beta=0.002, id_dropout=0.0)
    model = Recommender(config, seed=0).fit_matrix(either_or(400, seed=0), catalogue(24), shown, wanted)
    assert model.report_["deep_stays"] is deep
    assert (model.report_["ndcg_deep"] > model.report_["ndcg_ease"] + 0.05) is deep
    linear = Ease(config.regularisation).fit(either_or(400, seed=0)).score(shown)
    agrees = np.argsort(-model.logits_of_matrix(shown)[:, 16:], axis=1)[:, 0] < 4
    others = np.argsort(-linear[:, 16:], axis=1)[:, 0] < 4
    assert (agrees == others).all() == (not deep)


def test_a_choice_is_not_judged_by_those_who_made_it():
    """Among choices that differ by chance alone, the best one seen is not as good as it looks."""
    tried = np.random.default_rng(0).normal(size=(10, 60))
    values, best = chosen_by_halves(tried, np.random.default_rng(1))
    assert best == tried.mean(axis=1).argmax()
    assert values.mean() < tried.mean(axis=1).max()
    taken = np.array([int(np.flatnonzero(tried[:, p] == values[p])[0]) for p in range(60)])
    for row in set(taken):
        assert row == tried[:, taken != row].mean(axis=1).argmax()
    tried[3] += 5
    values, best = chosen_by_halves(tried, np.random.default_rng(1))
    assert (best, values.tolist()) == (3, tried[3].tolist())


@pytest.mark.parametrize(("steps", "epochs"), [(1, 8), (20, 8), (125, 8), (250, 4), (313, 3), (5000, 3)])
def test_where_an_epoch_sees_much_fewer_are_waited_for(steps, epochs):
    assert fitting._patience(8, steps) == epochs


def test_who_asks_for_less_patience_than_the_fewest_gets_it():
    assert fitting._patience(1, 5000) == 1
