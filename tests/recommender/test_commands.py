import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recommender import evaluation
from recommender.__main__ import main
from recommender.evaluation import MODELS, evaluate
from recommender.linear import ease_weights, gram_of
from recommender.log import BadLog, line_of, read_log
from recommender.pairs import BadPairs, read_pairs, split
from recommender.vae import Recommender, VaeConfig
from tests.recommender.worlds import log

SPACE = {"x": {"type": "float", "low": -5, "high": 5}, "kind": {"type": "categorical", "choices": ["a", "b"]}}
OBJECTIVE = "import sys; x, kind = float(sys.argv[1]), sys.argv[2]; print('working'); print((x - 2)**2 + (kind == 'b'))"


@pytest.fixture
def space_file(tmp_path):
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SPACE))
    return path


@pytest.fixture
def log_file(tmp_path):
    histories, _, activities = log(people=12, deliveries=6)
    by_id = {activity.id: activity for activity in activities}
    path = tmp_path / "log.jsonl"
    lines = [line_of(f"p{p:02}", d, by_id[d.activity]) for p, history in enumerate(histories) for d in history]
    path.write_text("\n".join(reversed(lines)) + "\n")  # any order
    return path


def test_any_command_that_prints_a_number_is_tuned(space_file, tmp_path, capsys):
    script = tmp_path / "objective.py"
    script.write_text(OBJECTIVE)
    journal = tmp_path / "journal.jsonl"
    line = f"{sys.executable} {script} {{x}} {{kind}}"
    arguments = ["tune", "--space", str(space_file), "--command", line, "--budget", "20", "--batch", "2"]
    arguments += ["--workers", "2", "--journal", str(journal)]
    assert main(arguments) == 0
    best = json.loads(capsys.readouterr().out)
    assert best["config"]["kind"] == "a"
    assert best["config"]["x"] == pytest.approx(2, abs=0.3)
    assert best["value"] == pytest.approx((best["config"]["x"] - 2) ** 2)
    assert main(arguments) == 0  # the journal is complete: nothing runs again
    assert json.loads(capsys.readouterr().out) == best


def test_maximise_turns_the_sign_round(space_file, capsys):
    line = f"{sys.executable} -c 'print(-({{x}} - 1) ** 2)'"
    assert main(["tune", "--space", str(space_file), "--command", line, "--maximise", "--budget", "12"]) == 0
    best = json.loads(capsys.readouterr().out)
    assert best["value"] == pytest.approx(-((best["config"]["x"] - 1) ** 2))


def test_a_command_that_always_fails_is_said_to(space_file, capsys):
    line = f"{sys.executable} -c 'print(1); raise SystemExit(3)'"
    assert main(["tune", "--space", str(space_file), "--command", line, "--budget", "3"]) == 1
    assert "every trial failed" in capsys.readouterr().err


def test_a_log_is_trained_on_and_the_saved_model_ranks(log_file, tmp_path, capsys):
    out = tmp_path / "model"
    assert main(["train", "--log", str(log_file), "--out", str(out), "--tune", "2"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["people"], summary["activities"]) == (12, 9)
    read = read_log(log_file)
    model = Recommender.load(out)
    assert {one.activity for one in model.rank(read.histories[0], read.contexts[0][-1])} == {f"a{i}" for i in range(9)}
    assert model.config.width != 32 or model.config.latent != 16  # the tuned ones


def test_a_log_reads_back_what_was_written(log_file):
    histories, contexts, activities = log(people=12, deliveries=6)
    read = read_log(log_file)
    assert (read.histories, read.contexts, read.activities) == (histories, contexts, activities)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": "2026-05-03T18:20:00"}, "line 2: at needs a UTC offset"),
        ({"at": None}, "line 2"),
        ({"completed": 1}, "line 2: completed must be"),
        ({"helpfulness": 9}, "line 2: helpfulness must be"),
        ({"probability": 0}, "line 2: probability"),
        ({"context": {"emotion": {"joy": 1}}}, "line 2: emotion has no 'joy'"),
        ({"context": 5}, "line 2"),
    ],
)
def test_a_wrong_line_of_a_log_is_named(log_file, change, said):
    lines = log_file.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    log_file.write_text("\n".join(lines))
    with pytest.raises(BadLog, match=said):
        read_log(log_file)


@pytest.fixture
def pairs_file(tmp_path):
    rng = np.random.default_rng(0)
    taste = np.array([[0.6] * 8 + [0.05] * 8, [0.05] * 8 + [0.6] * 8])
    x = rng.random((80, 16)) < taste[np.arange(80) % 2]
    part = rng.choice(3, size=x.shape, p=[0.6, 0.2, 0.2])
    path = tmp_path / "pairs.npz"
    parts = {name: np.argwhere(x & (part == i)) for i, name in enumerate(("train", "valid", "test"))}
    np.savez(path, **{name: rng.permutation(pairs) for name, pairs in parts.items()})
    return path


@pytest.mark.parametrize("protocol", ["temporal", "strong"])
def test_models_are_compared_on_an_interaction_file(pairs_file, tmp_path, protocol):
    out = tmp_path / "rows.json"
    assert main(["evaluate", "--pairs", str(pairs_file), "--protocol", protocol, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert all(set(row) == {"model", "metric", "k", "mean"} for row in rows)
    recall = {row["model"]: row["mean"] for row in rows if (row["metric"], row["k"]) == ("ndcg", 10)}
    assert set(recall) == set(MODELS) - ({"ease-recent"} if protocol == "strong" else set())
    for model in set(recall) - {"popularity"}:
        assert recall[model] > recall["popularity"] + 0.05, model


def test_held_out_users_and_targets_are_never_fitted_on(pairs_file):
    with np.load(pairs_file) as file:
        pairs = dict(file)
    temporal, strong = (split(pairs, protocol, seed=0) for protocol in ("temporal", "strong"))
    assert not (temporal.fitted * temporal.test_wanted).any()
    assert not (temporal.test_closed * temporal.test_wanted).any()
    assert len(strong.fitted) == 80 - len(strong.test_shown) - len(strong.valid_shown)
    assert not (strong.test_shown * strong.test_wanted).any()
    held_out = strong.valid_shown, strong.valid_wanted, strong.test_shown, strong.test_wanted
    assert sum(part.sum() for part in (strong.fitted, *held_out)) == sum(map(len, pairs.values()))


def test_bad_input_is_one_line_and_exit_code_2(space_file, pairs_file, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.write_text("")
    bad_pairs = tmp_path / "bad.npz"
    np.savez(bad_pairs, train=np.array([[0, -1]]), test=np.array([[0, 1]]))
    out = str(tmp_path / "out")
    wrong = [
        ["tune", "--space", str(tmp_path / "none.json"), "--command", "true"],
        ["tune", "--space", str(empty), "--command", "true"],
        ["tune", "--space", str(space_file), "--command", "no-such-program-here {x}"],
        ["tune", "--space", str(space_file), "--command", "echo {y}"],
        ["tune", "--space", str(space_file), "--command", "echo '"],
        ["train", "--log", str(empty), "--out", out],
        ["train", "--log", str(tmp_path), "--out", out],
        ["evaluate", "--pairs", str(empty), "--protocol", "strong", "--out", out],
        ["evaluate", "--pairs", str(bad_pairs), "--protocol", "strong", "--out", out],
        ["evaluate", "--pairs", str(pairs_file), "--protocol", "temporal", "--out", str(tmp_path / "no" / "out")],
    ]
    for arguments in wrong:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith(f"recommender {arguments[0]}: ")


def test_ids_with_gaps_and_repeated_pairs_change_nothing(pairs_file):
    pairs = read_pairs(pairs_file)
    odd = {name: np.concatenate([a, a[:7]]) * [10**12, 10**9] + 5 for name, a in pairs.items()}
    for protocol in ("temporal", "strong"):
        plain, same = split(pairs, protocol, seed=0), split(odd, protocol, seed=0)
        for part in ("fitted", "valid_wanted", "test_shown", "test_closed", "test_wanted"):
            assert (getattr(plain, part) == getattr(same, part)).all(), part


def test_the_age_of_an_item_is_the_number_of_later_rows_of_its_user():
    train = np.array([[1, 4], [0, 2], [1, 2], [1, 3], [0, 3], [1, 4]])
    data = split({"train": train, "valid": train[:1], "test": np.array([[0, 4]])}, "temporal", 0)
    assert data.age[0, :2].tolist() == [1, 0]
    assert data.age[1].tolist() == [2, 1, 0]  # taken up once more at the end
    by_item = train[np.lexsort([train[:, 1], train[:, 0]])]
    for rows in (by_item, by_item[::-1]):
        assert split({"train": rows, "test": np.array([[0, 4]])}, "temporal", 0).age is None


def test_without_a_part_to_choose_by_the_newest_tenth_is_set_aside():
    walks = {0: np.roll(np.arange(25), 3), 1: np.roll(np.arange(25), 7), 2: np.array([5, 3])}
    train = np.array([(user, item) for user, walk in walks.items() for item in walk])
    sizes = set()
    for seed in range(9):
        data = split({"train": train, "test": np.array([[0, 30], [2, 0]])}, "temporal", seed)
        for user, walk in walks.items():
            wanted, size = set(np.flatnonzero(data.valid_wanted[user])), len(walk)
            assert wanted == set(walk[size - len(wanted) :].tolist())
            assert wanted.isdisjoint(np.flatnonzero(data.fitted[user]))
            sizes.add((size, len(wanted)))
    assert sizes <= {(25, 2), (25, 3), (2, 0), (2, 1)}
    assert sizes >= {(25, 2), (25, 3), (2, 0)}  # a tenth of 25, rounded by chance


def walks_file(path: Path, *, in_order: bool, with_valid: bool = True, people: int = 300) -> Path:
    """Everybody takes up half of four groups of films, one after the other, and then the rest of the last one."""
    rng, parts = np.random.default_rng(0), {"train": [], "valid": [], "test": []}
    for user in range(people):
        films = [6 * group + rng.permutation(6) for group in rng.permutation(5)[:4]]
        walk = np.concatenate([half[:3] for half in films])
        train = walk if in_order else rng.permutation(walk)
        for name, items in zip(parts, (train, films[-1][3:4], films[-1][4:]), strict=True):
            parts[name if with_valid or name == "test" else "train"] += [(user, item) for item in items]
    np.savez(path, **{name: np.array(rows) for name, rows in parts.items() if rows})
    return path


@pytest.mark.parametrize(("in_order", "with_valid"), [(True, True), (False, True), (True, False)])
def test_the_order_of_rows_counts_where_it_says_what_comes_next_and_not_where_it_is_shuffled(
    in_order, with_valid, tmp_path
):
    path = walks_file(tmp_path / "walks.npz", in_order=in_order, with_valid=with_valid)
    said = []
    rows = evaluate(path, "temporal", models=["ease", "ease-recent"], told=said.append)
    plain, recent = (
        next(r["mean"] for r in rows if (r["model"], r["metric"], r["k"]) == (m, "ndcg", 10))
        for m in ("ease", "ease-recent")
    )
    assert any(line.startswith("order counts") for line in said) is in_order
    assert (recent > plain + 0.05) is in_order


def test_a_reader_of_order_that_knows_nothing_is_left_out(tmp_path, monkeypatch):
    data = split(read_pairs(walks_file(tmp_path / "walks.npz", in_order=True)), "temporal", 0)
    rng, said = np.random.default_rng(1), []
    monkeypatch.setattr(evaluation, "_sequential", lambda *_: lambda shown: rng.standard_normal(shown.shape))

    def table(shown: np.ndarray) -> np.ndarray:
        return shown @ ease_weights(gram_of(data.fitted), 100.0)

    assert evaluation._with_order(table, data, 0, said.append) is table
    nothing = replace(data, valid_wanted=np.zeros_like(data.valid_wanted))
    assert evaluation._with_order(table, nothing, 0, said.append) is table
    assert said == []


def test_the_newest_item_that_is_shown_counts_whole_whatever_is_hidden():
    age, shown = np.array([[3.0, 2, 1, 0], [0, 0, 0, 0]]), np.array([[1.0, 1, 0, 0], [0, 0, 0, 0]])
    weighed = evaluation._newer(age, 1.0, 0.1, shown)
    assert weighed[0] == pytest.approx([0.1 + 0.9 / np.e, 1, 0, 0])
    assert not weighed[1].any()


def test_what_was_given_before_is_no_target_and_nobody_loses_all_they_have():
    train, test = np.array([[0, 1], [1, 2], [1, 3]]), np.array([[0, 1], [0, 2], [1, 1]])
    for seed in range(5):
        data = split({"train": train, "test": test}, "temporal", seed)
        assert data.test_wanted.tolist() == [[0, 1, 0], [1, 0, 0]]
        assert data.fitted.any(axis=1).all()
    with pytest.raises(BadPairs, match="no user has a target"):
        split({"train": train, "test": train}, "temporal", 0)


@pytest.mark.parametrize(
    "arrays",
    [
        {"train": [[0, 0]], "test": [[0, 1]]},  # one user, two items
        {"train": [[0, 0], [1, 1], [2, 2]], "test": [[0, 1], [3, 2]]},  # one item each, and somebody new
        {"train": [[0, 0], [0, 1]], "test": [[0, 2]], "valid": np.zeros((0, 2), int)},
    ],
    ids=["one user", "one item each", "an empty valid array"],
)
def test_every_model_answers_on_a_tiny_file(arrays, tmp_path):
    np.savez(tmp_path / "tiny.npz", **{name: np.array(rows) for name, rows in arrays.items()})
    rows = evaluate(tmp_path / "tiny.npz", "temporal", config=VaeConfig(epochs=2))
    assert {row["model"] for row in rows} >= set(MODELS) - {"ease-recent"}
    assert all(0 <= row["mean"] <= 1 for row in rows)


def test_a_file_that_is_no_table_of_pairs_is_refused_in_words(tmp_path):
    good, path = np.array([[0, 1], [1, 0]]), tmp_path / "odd.npz"
    np.savez(path, train=good, test=good + 1)
    assert set(read_pairs(path)) == {"train", "test"}
    whole = path.read_bytes()
    damages = [
        ("not a readable", lambda: path.write_bytes(whole[: len(whole) // 2])),
        ("not a readable", lambda: path.write_bytes(_as_npy(good))),
        ("not a readable", lambda: np.savez(path, train=np.array([[{}, 1]]), test=good)),
        ("whole numbers", lambda: np.savez(path, train=good * 1.0, test=good)),
        ("whole numbers", lambda: np.savez(path, train=good[:, :1], test=good)),
        ("whole numbers", lambda: np.savez(path, train=good.astype(np.uint64) - 1, test=good)),
        ("no array 'test'", lambda: np.savez(path, train=good)),
        ("must not be empty", lambda: np.savez(path, train=good, test=good[:0])),
    ]
    for said, damage in damages:
        damage()
        with pytest.raises(BadPairs, match=said):
            read_pairs(path)
    many = np.stack([np.arange(40_000)] * 2, axis=1)
    with pytest.raises(BadPairs, match="too many"):
        split({"train": many, "test": many}, "temporal", 0)


def _as_npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_too_few_users_cannot_be_held_out():
    pairs = {"train": np.array([[0, 1], [1, 2]]), "test": np.array([[0, 2]])}
    with pytest.raises(BadPairs, match="ten users"):
        split(pairs, "strong", 0)


def test_the_command_line_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "recommender", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("tune", "train", "evaluate"))


def test_a_command_is_continued_from_its_checkpoint_and_its_finalists_run_on_fresh_seeds(tmp_path, capsys):
    """The script appends what it was told to its checkpoint: a promoted one finds the line of the rung below."""
    script, space = tmp_path / "train.sh", tmp_path / "space.json"
    script.write_text('echo "$2 $3" >> "$4"; echo "$1"')
    space.write_text(json.dumps({"x": {"type": "float", "low": 0, "high": 1}}))
    line = f"sh {script} {{x}} {{fidelity}} {{seed}} {{checkpoint}}"
    arguments = ["tune", "--space", str(space), "--command", line, "--budget", "24", "--rungs", "1,3"]
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    assert main([*arguments, "--finalists", "2", "--repeats", "1", "--checkpoints", str(checkpoints)]) == 0
    runs = [path.read_text().splitlines() for path in checkpoints.iterdir()]
    assert ["1 0", "3 0"] in runs  # promoted
    assert ["1 0"] in runs  # not promoted
    assert sum(run == ["3 1"] for run in runs) == 2  # finals, from nothing
    capsys.readouterr()
    assert main([*arguments[:-2], "--rungs", "3,1"]) == 2
    assert "rungs" in capsys.readouterr().err


def test_the_bench_command_runs_resumes_and_reports(tmp_path, capsys, monkeypatch):
    from recommender.bench import noise

    monkeypatch.setattr(noise, "QUICK_RUNS", 25)
    monkeypatch.setattr(noise.peers, "METHODS", {m: noise.peers.METHODS[m] for m in ("random", "PSO")})
    arguments = ["bench", "noise", "--quick", "--resume", "--out", str(tmp_path)]
    assert main([*arguments, "--minutes", "0"]) == 0
    assert "0 of 2 cells" in capsys.readouterr().out
    assert main([*arguments, "--only", "PSO seed"]) == 0
    assert "1 of 2 cells" in capsys.readouterr().out
    assert main([*arguments, "--only", "TPE"]) == 2
    assert capsys.readouterr().err == "recommender bench: no cell of noise is called 'TPE'\n"
    assert main(arguments) == 0
    first = capsys.readouterr()
    assert "2 of 2 cells" in first.out
    assert "random" in first.err
    assert "PSO" not in first.err  # only what was missing
    raw = tmp_path / "raw" / "recommender-noise.jsonl"
    assert len(raw.read_text().splitlines()) == 2
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (first.out, "")
    assert (tmp_path / "recommender-noise.png").stat().st_size > 5000
    raw.write_text("{}\n")
    assert main(arguments) == 2
    assert "is not the result of a cell" in capsys.readouterr().err
