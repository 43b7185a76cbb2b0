"""Face against voice from files, and the comparison that ships: made with these checkpoints or not used."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from emotion.__main__ import main
from emotion.data import nemo, ravdess
from emotion.data.clips import Clip, DataMissing
from emotion.disparity import Comparison, Null, fitting, reference
from emotion.disparity.report import CAUTION, UNCERTAINTY
from emotion.estimate import EMOTIONS
from emotion.face import FaceRecogniser
from emotion.voice import VoiceRecogniser

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"
FACE, VOICE = str(MEDIA / "astronaut.jpg"), str(MEDIA / "librivox.wav")


def shipped_versions() -> dict[str, str]:
    return {"face": FaceRecogniser.load().version, "voice": VoiceRecogniser.load().version}


def test_the_comparison_that_ships_was_made_with_the_checkpoints_that_ship():
    found = reference.load()
    assert found.for_models(shipped_versions()) == found.null, f"run {reference.COMMAND}"
    assert len(found.null.population) > 900
    assert 0.02 <= found.card["check"]["false_alerts_mean"] <= 0.08
    assert found.card["check"]["alerts_on_pairs_of_two_emotions"] > 0.15
    assert "Non-commercial" in found.card["licence"]


def test_it_says_nothing_about_other_checkpoints():
    other = shipped_versions() | {"voice": "compact_voice-00000000"}
    with pytest.raises(reference.OtherModels, match=r"voice compact_voice-00000000.*calibrate-disparity"):
        reference.load().for_models(other)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "report"


def test_the_command_writes_figure_table_and_sentences(folder, capsys):
    assert main(["disparity", "--face", FACE, "--voice", VOICE, "--out", str(folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == (folder / "report.txt").read_text().splitlines()
    assert printed[-2:] == [UNCERTAINTY, CAUTION]
    assert "the face expressed happiness" in printed[0]
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")
    stored = Comparison.from_json(json.loads((folder / "comparison.json").read_text()))
    table = list(csv.DictReader((folder / "passages.csv").read_text().splitlines()))
    assert len(table) == 1 + len(stored.passages)
    assert [row["p_value"] for row in table] == [str(round(p.p_value, 3)) for p in (stored.overall, *stored.passages)]
    assert stored.overall.alert == (stored.overall.p_value < 0.05)


def saved(tmp_path, versions) -> str:
    card = {"made_with": {m: {"version": version} for m, version in versions.items()}}
    return str(reference.save(tmp_path / "null.json", card, Null((0.5, 1.0, 2.0))))


def test_a_comparison_of_other_checkpoints_is_refused(folder, tmp_path, capsys):
    asked = ["disparity", "--face", FACE, "--voice", VOICE, "--out", str(folder), "--null"]
    assert main([*asked, saved(tmp_path, shipped_versions())]) == 0
    assert main([*asked, saved(tmp_path, shipped_versions() | {"face": "somebody-elses"})]) == 2
    assert "made with face somebody-elses" in capsys.readouterr().err


def test_where_the_one_that_ships_does_not_fit_the_report_says_so(folder, monkeypatch, capsys):
    monkeypatch.setattr(reference, "default_path", lambda: folder / "none.json")
    assert main(["disparity", "--face", FACE, "--voice", VOICE, "--out", str(folder)]) == 0
    said = capsys.readouterr()
    assert "no p-values: no comparison" in said.err
    assert "cannot be said" in said.out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--voice", VOICE], "give one of --face and --video"),
        (["--face", FACE], "--voice is missing"),
        (["--face", "nobody.jpg", "--voice", VOICE], "nobody.jpg is not a file"),
        (["--face", VOICE, "--voice", VOICE], "the face: "),
        (["--face", FACE, "--voice", FACE], "the voice: The recording could not be read."),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, capsys, arguments, line):
    assert main(["disparity", *arguments, "--out", str(folder)]) == 2
    said = capsys.readouterr()
    assert line in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert not folder.exists()


def reads(labels, people, sure=0.9):
    p = np.full((len(labels), 7), (1 - sure) / 6)
    p[np.arange(len(labels)), labels] = sure
    return fitting.Read(p, np.asarray(labels), np.asarray(people))


def test_a_congruent_pair_is_a_face_and_a_voice_of_one_emotion():
    faces, voices = reads(list(range(7)) * 20, ["x"] * 140), reads(list(range(7)) * 4, ["a", "b"] * 14)
    scores = fitting.pair_scores(faces, voices, np.random.default_rng(0), each=10)
    assert scores == pytest.approx(np.full(70, -np.log(0.9**2 + 6 * (0.1 / 6) ** 2)))
    found = fitting.check(faces, voices)
    assert found["alerts_on_pairs_of_two_emotions"] == 1.0
    assert found["false_alerts_mean"] == 0.0


def test_only_voices_that_the_checkpoint_never_heard_are_used(tmp_path, monkeypatch):
    def clips(people, corpus):
        return lambda folder: [Clip(folder / p, EMOTIONS[0], p, corpus, "female") for p in people]

    def absent(folder):
        raise DataMissing("not here")

    monkeypatch.setattr(ravdess, "clips", clips(["ravdess-01", "ravdess-10"], "ravdess"))
    monkeypatch.setattr(nemo, "clips", clips(["nemo-AAA"], "nemo"))
    monkeypatch.setattr(fitting.emodb, "clips", absent)
    card = {"data": {"RAVDESS speech": {}, "EMO-DB": {}}, "held_out_to_choose_the_epoch": ["ravdess-10"]}
    assert [clip.person for clip in fitting.unheard(card, tmp_path)] == ["ravdess-10", "nemo-AAA"]
    card["data"]["nEMO"] = {}
    assert [clip.person for clip in fitting.unheard(card, tmp_path)] == ["ravdess-10"]
