"""Models that know order, on sequences whose next items a reader can see."""

import numpy as np
import pytest
import torch

from recommender import evaluation
from recommender.attention import padded, sequences_of
from recommender.pairs import BadPairs, split
from recommender.sequences import OrderedVae, SasRec, following, window_of

N = 12


def walks(people: int = 120, seed: int = 0) -> list[np.ndarray]:
    """Each person walks round a circle of N items: what comes next is told by the last item alone."""
    rng = np.random.default_rng(seed)
    return [(start + np.arange(rng.integers(3, 9))) % N for start in rng.integers(N, size=people)]


@pytest.fixture(scope="module")
def fitted() -> SasRec:
    return SasRec(width=16, length=10, dropout=0.0, epochs=25, learning_rate=1e-2, batch=32).fit(walks(), N)


def test_it_learns_what_comes_next_and_that_the_order_says_so(fitted):
    past = [np.array([2, 3, 4]), np.array([4, 3, 2]), np.array([7])]
    assert list(fitted.score(past).argmax(axis=1)) == [5, 3, 8]
    assert np.ptp(fitted.score([np.array([], dtype=int)])) == 0


def test_ours_ranks_all_of_the_items_that_follow_soon_above_the_others():
    ours = OrderedVae(ahead=3, share=1.0, width=16, length=10, dropout=0.0, epochs=60, batch=16, learning_rate=5e-3)
    scores = ours.fit(walks(), N).score([np.array([2, 3, 4]), np.array([7])])
    first = np.argsort(-scores, axis=1)[:, :3]
    assert [set(row) for row in first.tolist()] == [{5, 6, 7}, {8, 9, 10}]


def test_ours_learns_with_noise_and_pays_for_what_it_says_beyond_the_prior():
    ours, part = OrderedVae(ahead=3, share=1.0, width=16, length=10, dropout=0.0, epochs=1), walks(30)
    ours.fit(part, N)
    rng = np.random.default_rng(0)
    one, other = (ours._loss(part, rng).item() for _ in range(2))
    assert one != other  # z is drawn anew
    ours.beta = 10.0
    assert ours._loss(part, rng).item() > max(one, other) + 1.0
    assert (ours.score(part) == ours.score(part)).all()


def test_a_place_is_asked_for_what_follows_it_as_far_as_the_sequence_goes():
    targets, there = following(np.array([4, 5, 6, 7]), places=3, ahead=2)
    assert targets[:2].tolist() == [[5, 6], [6, 7]]
    assert there.tolist() == [[True, True], [True, True], [True, False]]


def test_of_a_long_sequence_each_pass_reads_another_stretch():
    rng, sequence = np.random.default_rng(0), np.arange(30)
    starts = {int(window_of(sequence, 10, rng)[0]) for _ in range(200)}
    assert starts == set(range(21))
    assert window_of(sequence[:4], 10, rng).tolist() == [0, 1, 2, 3]


def test_no_place_looks_at_what_comes_after_it_nor_at_padding(fitted):
    one, other = np.array([1, 2, 3, 4]), np.array([1, 2, 9, 0])
    items, lengths = padded([one, other], N)
    with torch.no_grad():
        after = fitted.network_(items, lengths)
    assert torch.equal(after[0, :2], after[1, :2])
    assert not torch.allclose(after[0, 2:], after[1, 2:])
    together = fitted.score([one[:2], np.arange(9)])[0]
    assert together == pytest.approx(fitted.score([one[:2]])[0], abs=1e-5)


def test_it_keeps_the_epoch_that_is_judged_best_and_stops_waiting():
    heard = iter([0.1, 0.3, 0.2, 0.2, 0.9])
    scores = []

    def judge(score) -> float:
        scores.append(score(walks(5, seed=1)))
        return next(heard)

    model = SasRec(width=8, length=10, epochs=9, patience=2).fit(walks(40), N, judge)
    assert len(scores) == 4
    assert model.score(walks(5, seed=1)) == pytest.approx(scores[1], abs=1e-5)


def test_sequences_run_from_old_to_new():
    shown = np.array([[1, 0, 1, 1], [0, 0, 0, 0]])
    age = np.array([[0, 0, 2, 1], [0, 0, 0, 0]])
    assert [list(sequence) for sequence in sequences_of(shown, age)] == [[2, 3, 0], []]


def pairs() -> dict[str, np.ndarray]:
    """Everybody walks round the circle; the two items after their last one are wanted."""
    walked = [(person, walk) for person, walk in enumerate(walks(150))]
    rows = {
        "train": [(person, item) for person, walk in walked for item in walk],
        "valid": [(person, (walk[-1] + 1) % N) for person, walk in walked],
        "test": [(person, (walk[-1] + 2) % N) for person, walk in walked],
    }
    return {name: np.array(of) for name, of in rows.items()}


def test_beside_the_other_peers_it_is_judged_where_order_is_known_and_refused_where_it_is_not():
    data = split(pairs(), "temporal", 0)
    said: list[str] = []
    models = ("popularity", "ease", "sasrec", "ed-att-vae")
    ndcg = {m: evaluation.judged(m, data, 0, told=said.append)["ndcg", 10].mean() for m in models}
    assert ndcg["sasrec"] > ndcg["ease"] + 0.1 > ndcg["popularity"]
    assert ndcg["ed-att-vae"] > ndcg["ease"] + 0.1
    assert any(line.startswith("order is read") for line in said)
    with pytest.raises(BadPairs, match="order"):
        evaluation.judged("sasrec", split(pairs(), "strong", 0), 0)


def test_a_tuned_peer_has_the_settings_that_rank_best_on_the_validation_target(monkeypatch):
    monkeypatch.setattr(evaluation, "TRIALS", 8)
    data, said = split(pairs(), "temporal", 0), []
    evaluation.judged("knn, tuned", data, 0, told=said.append)
    chosen = said[0]
    assert chosen.startswith("knn, tuned: {'neighbours': ")
    settings = evaluation._searched("knn", data, 0, said.append)[0]
    assert said[1] == chosen
    best = evaluation._quality(evaluation.PEERS["knn"](data, 0, **settings), data)
    for other in ({"neighbours": 1, "shrinkage": 500.0}, {"neighbours": 12, "shrinkage": 500.0}):
        assert best >= evaluation._quality(evaluation.PEERS["knn"](data, 0, **other), data)
