"""The text bench gives both methods the same texts, and tunes neither on the test part."""

import csv
import gzip

import pytest

from emotion.bench import Place, text
from emotion.bench.cells import Cell
from emotion.data import texts
from emotion.data.clips import DataMissing


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "isear"
    folder.mkdir()
    with gzip.open(folder / "isear.csv.gz", "wt", newline="") as file:
        table = csv.writer(file)
        table.writerow(["key", "emotion", "text", "sex", "country"])
        table.writerows([[1, "joy", "a happy wedding day", 1, 1], [2, "guilt", "that lie was my fault", 1, 1]] * 60)
    return Place(tmp_path, tmp_path / "cache")


def test_parts_do_not_overlap_and_keep_the_own_classes(place):
    corpus = texts.load(place.data, "isear")
    assert corpus.names == ("guilt", "joy")
    assert [len(part[0]) for part in (corpus.train, corpus.dev, corpus.test)] == [87, 9, 24]
    assert corpus.train[1].sum(axis=1).tolist() == [1] * 87


@pytest.mark.parametrize("method", ["tfidf_lr", "compact_text"])
def test_either_method_tells_joy_from_guilt(place, method):
    figures = text.work(Cell("E6", method, "isear"), place)
    assert figures["n"] == 24
    assert figures["macro_f1"] > 0.9
    low, high = figures["macro_f1_interval_95"]
    assert low <= figures["macro_f1"] <= high


def test_missing_data_is_named(place):
    with pytest.raises(DataMissing, match="train.csv.gz is not there"):
        texts.load(place.data, "meld")
