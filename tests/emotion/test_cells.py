"""A bench goes on where it stopped, cheapest cell first; both pure packages keep the same small runner."""

from pathlib import Path

import pytest

import emotion.bench.cells
import recommender.bench.cells
from emotion.bench.cells import BadLine, Cell, finished, run

CELLS = [Cell("E0", "ours", "toy", 0, minutes=5), Cell("E0", "peer", "toy", 0, minutes=1)]


def test_cells_run_cheapest_first_and_leave_one_line_each(tmp_path):
    seen = []
    lines = run(CELLS, lambda cell: seen.append(cell.method) or {"uar": 0.5}, tmp_path / "raw.jsonl")
    assert seen == ["peer", "ours"]
    assert [line["method"] for line in lines] == seen
    assert len((tmp_path / "raw.jsonl").read_text().splitlines()) == 2


def test_an_interrupted_bench_goes_on_with_what_is_missing(tmp_path):
    raw, seen = tmp_path / "raw.jsonl", []

    def stops_at_ours(cell):
        if cell.method == "ours":
            raise KeyboardInterrupt
        return {"uar": 0.4}

    with pytest.raises(KeyboardInterrupt):
        run(CELLS, stops_at_ours, raw)
    run(CELLS, lambda cell: seen.append(cell.method) or {"uar": 0.6}, raw, resume=True)
    assert seen == ["ours"]


def test_without_resume_every_cell_is_run_again_and_the_newest_line_counts(tmp_path):
    raw = tmp_path / "raw.jsonl"
    run(CELLS, lambda cell: {"uar": 0.1}, raw)
    run(CELLS, lambda cell: {"uar": 0.2}, raw)
    assert {line["uar"] for line in finished(raw).values()} == {0.2}


def test_a_broken_raw_file_is_named_with_its_line(tmp_path):
    raw = tmp_path / "raw.jsonl"
    raw.write_text('{"bench": "E0"}\n')
    with pytest.raises(BadLine, match="raw.jsonl:1 is not"):
        finished(raw)


def test_both_packages_keep_the_same_runner():
    """Neither pure package may import the other, so the runner stands in both, word for word."""
    ours, theirs = (Path(module.__file__).read_text() for module in (emotion.bench.cells, recommender.bench.cells))
    assert ours == theirs
