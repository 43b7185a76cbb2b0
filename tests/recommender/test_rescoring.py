"""Everybody's scores again, from a log, in pieces."""

import importlib.util
import json
from datetime import timedelta

import numpy as np
import pytest

from recommender import rescoring
from recommender.__main__ import main
from recommender.catalogue import Delivery, Outcome
from recommender.log import BadLog, line_of
from recommender.vae import Recommender, VaeConfig
from tests.recommender.worlds import log


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, its folder, a sorted log of the people it knows, and their histories."""
    folder = tmp_path_factory.mktemp("model")
    histories, contexts, activities = log(people=11, deliveries=5, by="person")
    model = Recommender(VaeConfig(epochs=1, deep=False), 1).fit(histories, contexts, activities)
    model.save(folder / "model")
    by_id = {activity.id: activity for activity in activities}
    later = model.data_until_ + timedelta(days=1)
    histories[4].append(Delivery("a8", later, Outcome(True, 5, 1.0), contexts[0][0], 0.1))  # after the training
    lines = [line_of(f"p{p:02}", d, by_id[d.activity]) for p, history in enumerate(histories) for d in history]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return model, folder, histories


def found(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scores_of_many_are_those_of_each_alone(made):
    model, _, histories = made
    scores = model.expected([*histories, []])
    for history, row in zip(histories, scores, strict=False):
        assert row == pytest.approx(model.score(history, history[-1].context)[0], abs=1e-9)
    assert np.ptp(scores[:, 0]) > 1e-3
    assert scores[-1].shape == (9,)


def test_everybody_gets_their_best_activities_once_whatever_the_pieces_and_a_stopped_run_goes_on(made, tmp_path):
    model, folder, histories = made
    outs = [tmp_path / name for name in ("whole", "pieces", "stopped")]
    heard = []
    assert rescoring.rescore(folder / "model", folder / "log.jsonl", outs[0], chunk=100) == 11
    rescoring.rescore(folder / "model", folder / "log.jsonl", outs[1], chunk=3, heard=heard.append)
    assert heard == [3, 6, 9, 11]
    outs[2].write_text("".join(outs[0].read_text().splitlines(keepends=True)[:5]) + '{"person": "p05", "be')
    rescoring.rescore(folder / "model", folder / "log.jsonl", outs[2], chunk=4)
    assert found(outs[0]) == found(outs[1]) == found(outs[2])
    row = found(outs[0])[4]
    scores = model.score(histories[4], histories[4][-1].context)[0]
    assert row["person"] == "p04"
    assert row["best"][0] == [f"a{scores.argmax()}", pytest.approx(scores.max(), abs=1e-6)]


def test_a_log_that_is_not_sorted_by_person_is_refused_by_name(made, tmp_path, capsys):
    _, folder, _ = made
    lines = (folder / "log.jsonl").read_text().splitlines()
    wrong = tmp_path / "log.jsonl"
    wrong.write_text("\n".join([lines[6], lines[0]]) + "\n")
    with pytest.raises(BadLog, match="p00 comes after p01"):
        rescoring.rescore(folder / "model", wrong, tmp_path / "out")
    asked = ["--workers", "1", "--out", str(tmp_path / "out"), "--model", str(folder / "model"), "--log"]
    assert main(["rescore", *asked, str(wrong)]) == 2
    assert "sorted by person" in capsys.readouterr().err
    assert main(["rescore", *asked, str(folder / "log.jsonl")]) == 0
    assert json.loads(capsys.readouterr().out)["people"] == 11


@pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="dask.distributed is not installed")
def test_two_workers_of_dask_give_the_same_scores(made, tmp_path):
    import joblib
    from distributed import Client, LocalCluster

    _, folder, _ = made
    asked = {"model": folder / "model", "log": folder / "log.jsonl", "chunk": 3}
    rescoring.rescore(out=tmp_path / "here", **asked)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        rescoring.rescore(out=tmp_path / "there", workers=2, **asked)
    assert (tmp_path / "there").read_text() == (tmp_path / "here").read_text()
