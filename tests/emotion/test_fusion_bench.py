"""The fusion and disparity benches on small tables made here, whose right answers are known."""

import gzip

import numpy as np
import pytest

from emotion.bench import Place, disparity, fusion, fusion_data
from emotion.bench.cells import Cell
from emotion.data.clips import DataMissing


@pytest.fixture
def data(tmp_path):
    """Three actors, 32 clips each, four of an emotion: the voice is always right, the face, surer, in three of four."""
    folder = tmp_path / "ravdess_multimodal"
    folder.mkdir()
    names = [f"{m}_{c}" for m in ("voice_wav2vec", "face_bilstm_AU") for c in fusion_data.RAVDESS]
    lines = [",".join(["clip", "emotion", "actor", *names])]
    for actor in range(1, 4):
        for clip in range(32):
            truth = clip % 8
            seen = (truth + 1) % 8 if clip < 8 else truth
            cells = np.concatenate([np.eye(8)[k] * s + (1 - s) / 8 for k, s in ((truth, 0.6), (seen, 0.7))])
            lines.append(",".join([f"{actor}-{clip}", fusion_data.RAVDESS[truth], str(actor), *map(str, cells)]))
    (folder / "heldout_posteriors.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_single_best_modality_of_made_clips_is_the_voice_that_is_always_right(data):
    line = fusion.work(Cell("E5", "best_single", "ravdess"), Place(data, data))
    assert (line["people"], line["n"]) == (3, 96)
    assert line["by_k"]["0"]["accuracy"] == line["by_k"]["20"]["accuracy"] == 1
    # the product is wrong where the face is
    assert line["by_k"]["0"]["to_product"]["accuracy"] == pytest.approx(0.25, abs=0.06)


def test_mixed_clips_are_told_from_clips_as_they_are(data, monkeypatch):
    """A quarter of the clips disagree as they are, and of the mixed ones all but the 1 in 28 that meet by chance."""
    monkeypatch.setattr(disparity, "DRAWS", 20)
    monkeypatch.setattr(disparity, "SHUFFLES", 3)
    line = disparity.work(Cell("E10", "plain divergence", "ravdess"), Place(data, data))
    mixed, usual = 27 / 28, 1 / 4
    assert line["auc"] == pytest.approx(mixed * (1 - usual) + (mixed * usual + (1 - mixed) * (1 - usual)) / 2, abs=0.06)
    assert line["alert_false_alarms"] == 0  # with a quarter of the null as high, no p-value falls below .05
    assert line["auc_interval_95"][0] <= line["auc"] <= line["auc_interval_95"][1]


def test_reports_say_how_many_cells_there_are_and_draw(data, tmp_path, monkeypatch):
    monkeypatch.setitem(fusion.PROTOCOL, "ravdess", {"shuffles": 2})
    cells = [Cell("E5", name, "ravdess") for name in ("product", "mean")]
    lines = [
        {"bench": "E5", "method": c.method, "data": c.data, "seed": 0} | fusion.work(c, Place(data, data))
        for c in cells
    ]
    told = fusion.report(lines, 37, tmp_path)
    assert told.startswith("2 of 37 cells")
    assert "| `mean` |" in told
    assert "<svg" in (tmp_path / "fusion.svg").read_text()


def test_votes_become_shares_with_half_a_vote_added(tmp_path):
    folder = tmp_path / "crema_d_ratings"
    folder.mkdir()
    rows = ["Unnamed: 0,A,D,F,H,N,S,fileName"]
    for kind, votes in ((1, "7,0,0,0,0,0"), (2, "0,7,0,0,0,0"), (3, "0,0,0,9,1,0")):
        rows.append(f"{kind}00001,{votes},1001_IEO_SAD_XX")
        rows.append(f"{kind}00002,{votes if kind < 3 else '1,1,0,0,0,0'},1002_IEO_ANG_XX")
    (folder / "tabulatedVotes.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))

    intended, both = (fusion_data.crema_d(tmp_path, truth) for truth in ("intended", "audiovisual"))

    assert intended.posteriors["voice"][0] == pytest.approx(np.array([7.5, 0.5, 0.5, 0.5, 0.5, 0.5]) / 10)
    assert [intended.classes[t] for t in intended.truth] == ["SAD", "ANG"]
    assert [both.classes[t] for t in both.truth] == ["HAP"]  # the other was a tie
    assert list(intended.people) == ["1001", "1002"]


def test_missing_data_is_named(tmp_path):
    with pytest.raises(DataMissing, match="heldout_posteriors.csv is not there"):
        fusion_data.ravdess(tmp_path)
