"""B4: ranking films, where public peers have public figures.

    ml1m     MovieLens-1M, at least 4 stars, DiffRec's split in time; Recall@20 and NDCG@20 over 5,949 people; the rows
             of a person run from old to new, which our model and "ease-recent" may use
    ml100k   MovieLens-100k, at least 4 stars, people with at least 5; whole people held out (638 to learn from,
             150 to choose by, 150 to test), four fifths of theirs shown; NDCG@100, ten paired splits

No film log has contexts or outcomes: our model runs with its context block removed.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from recommender import bench
from recommender.bench import tables
from recommender.bench.cells import Cell
from recommender.pairs import BadPairs, Split, read_pairs, split

SPLITS, SEEDS, OURS = 10, 3, "ed-att-vae"
LEARN, CHOOSE, TEST = 638, 150, 150
SEEDED = ("ials", "mult-vae", "rec-vae", "sasrec", OURS)  # the others come out the same for every seed
ORDERED = ("ease-recent", "sasrec")  # nothing to say where nothing is known of order
MINUTES = {
    "popularity": 0.1, "ease": 0.5, "ease-recent": 0.6, "knn": 0.4, "ials": 4.0, "slim": 9.0, "mult-vae": 8.0,
    OURS: 5.0, "sasrec": 12.0, "rec-vae": 30.0,
    "ease, tuned": 4.0, "knn, tuned": 4.0, "ials, tuned": 40.0, "slim, tuned": 80.0, "mult-vae, tuned": 90.0,
    "rec-vae, tuned": 300.0,
}  # fmt: skip
LONGEST = 30.0  # minutes; what would take longer has cells on the small data alone
CHOSEN = {"ml1m": ("ndcg", 20), "ml100k": ("ndcg", 100)}


def cells(quick: bool) -> list[Cell]:
    models = ["popularity", "ease", OURS] if quick else list(MINUTES)
    small = [
        Cell("films", m, "ml100k", seed, 0.1 * MINUTES[m] + 0.01 * seed)
        for seed in range(2 if quick else SPLITS)
        for m in models
        if m not in ORDERED
    ]
    if quick:
        return small
    large = [m for m in models if MINUTES[m] <= LONGEST]
    return small + [Cell("films", m, "ml1m", s, 1 + MINUTES[m] + 10 * s) for m in large for s in range(_seeds(m))]


def _seeds(model: str) -> int:
    return SEEDS if model in SEEDED else 1


def work(cell: Cell, data: Path) -> dict[str, Any]:
    """Metrics of one model, and the one it is compared by for each person."""
    import torch

    from recommender.evaluation import judged

    torch.set_num_threads(1)
    said: list[str] = []
    try:
        table = ml100k(data, cell.seed) if cell.data == "ml100k" else ml1m(data, cell.seed)
    except (BadPairs, OSError) as error:
        raise bench.BenchFailed(str(error)) from error
    metrics = judged(cell.method, table, cell.seed, told=said.append)
    means = {f"{m}@{k}": round(float(v.mean()), 5) for (m, k), v in metrics.items() if k in (10, 20, 100)}
    return {**means, "users": _packed(metrics[CHOSEN[cell.data]]), "said": said}


def ml1m(data: Path, seed: int) -> Split:
    return split(read_pairs(data / "ml1m_diffrec" / "ml1m_clean.npz"), "temporal", seed)


def ml100k(data: Path, seed: int) -> Split:
    with gzip.open(data / "ml100k" / "inter.csv.gz", "rt") as lines:
        header = lines.readline().strip().split(",")
        rows = np.loadtxt(lines, delimiter=",")
    user, item, stars = (rows[:, i].astype(int) for i in _columns(header))
    liked = np.zeros((user.max() + 1, item.max() + 1), dtype=bool)
    liked[user[stars >= 4], item[stars >= 4]] = True
    liked = liked[liked.sum(axis=1) >= 5][:, liked.any(axis=0)]
    return held_out(liked, seed)


def held_out(liked: np.ndarray, seed: int) -> Split:
    """liked: (U, N) bool.   Whole people held out; of theirs a fifth, at least one, is wanted."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(liked))
    wanted = np.zeros_like(liked)
    for row, new in zip(liked, wanted, strict=True):
        mine = np.flatnonzero(row)
        new[rng.choice(mine, max(1, round(0.2 * len(mine))), replace=False)] = True
    shown = liked & ~wanted
    learn, choose, test = np.split(order, [LEARN, LEARN + CHOOSE])
    test = test[:TEST]
    parts = liked[learn], shown[choose], wanted[choose], shown[test], shown[test], wanted[test]
    return Split(*(part.astype(float) for part in parts))


def report(lines: list[dict[str, Any]], total: int, out: Path) -> str:
    text = tables.done(len(lines), total)
    for data, metric in (("ml1m", "ndcg@20"), ("ml100k", "ndcg@100")):
        mine = [line for line in lines if line["data"] == data]
        if mine:
            text += f"### {data}\n\n" + (_ml1m_table(mine) if data == "ml1m" else _ml100k_table(mine)) + "\n"
            _figure(mine, metric, out / f"recommender-films-{data}.png")
    return text


def _ml1m_table(lines: list[dict[str, Any]]) -> str:
    """Means over seeds, and the difference to ours by a bootstrap over people."""
    users = {m: np.mean([_unpacked(line["users"]) for line in group], axis=0) for m, group in _by_model(lines).items()}
    body = []
    for model, group in sorted(_by_model(lines).items(), key=lambda pair: -np.mean([x["ndcg@20"] for x in pair[1]])):
        recall, ndcg = (np.mean([line[name] for line in group]) for name in ("recall@20", "ndcg@20"))
        against = _bootstrapped(users[OURS] - users[model]) if OURS in users and model != OURS else "–"
        body.append([model, len(group), f"{recall:.4f}", f"{ndcg:.4f}", against])
    return tables.markdown(["model", "seeds", "Recall@20", "NDCG@20", "ours minus it, NDCG@20 [95 %]"], body)


def _ml100k_table(lines: list[dict[str, Any]]) -> str:
    """Means over splits, and the difference to ours by the corrected resampled t test (Nadeau & Bengio 2003)."""
    body, ours = [], {line["seed"]: line["ndcg@100"] for line in lines if line["method"] == OURS}
    for model, group in sorted(_by_model(lines).items(), key=lambda pair: -np.mean([x["ndcg@100"] for x in pair[1]])):
        values = {line["seed"]: line["ndcg@100"] for line in group}
        both = np.array([ours[s] - values[s] for s in values if s in ours])
        against = "–" if model == OURS or len(both) < 2 else f"{both.mean():+.4f}, p {corrected_t(both):.3f}"
        body.append([model, len(group), f"{np.mean(list(values.values())):.4f}", against])
    return tables.markdown(["model", "splits", "NDCG@100", "ours minus it"], body)


def corrected_t(differences: np.ndarray, test_share: float = TEST / LEARN) -> float:
    """Two-sided p of a mean difference over overlapping splits: variance times 1/n + n_test/n_train."""
    n, deviation = len(differences), differences.std(ddof=1)
    if deviation == 0:
        return 1.0
    t = differences.mean() / (deviation * np.sqrt(1 / n + test_share))
    return float(2 * stats.t.sf(abs(t), n - 1))


def _bootstrapped(differences: np.ndarray, draws: int = 2000) -> str:
    rng = np.random.default_rng(0)
    means = [differences[rng.integers(len(differences), size=len(differences))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{differences.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def _by_model(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {m: [line for line in lines if line["method"] == m] for m in dict.fromkeys(x["method"] for x in lines)}


def _columns(header: list[str]) -> list[int]:
    """Places of the user, the item and the stars in a table whose columns may be named in two ways."""
    names = [name.split(":")[0].strip('"').lower() for name in header]
    return [next(i for i, name in enumerate(names) if name.startswith(start)) for start in ("user", "item", "rating")]


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(values.astype("<f2").tobytes(), 9)).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f2").astype(float)


def _figure(lines: list[dict[str, Any]], metric: str, path: Path) -> None:
    plt = tables.plotting()
    groups = sorted(_by_model(lines).items(), key=lambda pair: np.mean([line[metric] for line in pair[1]]))
    figure, axis = plt.subplots(figsize=(6, 0.35 * len(groups) + 1))
    for place, (model, group) in enumerate(groups):
        values = [line[metric] for line in group]
        axis.barh(place, np.mean(values), color="#cc6677" if model == OURS else "#4477aa", height=0.6)
        axis.plot(values, [place] * len(values), "k.", markersize=3)
    axis.set_yticks(range(len(groups)), [model for model, _ in groups])
    axis.set_xlabel(f"{metric} on {lines[0]['data']} (dots: seeds or splits)")
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
