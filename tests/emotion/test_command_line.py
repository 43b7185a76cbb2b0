"""`python -m emotion`, as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion import checkpoint
from emotion.__main__ import main
from tests.emotion.test_face_network import write_fer2013

ASTRONAUT = Path(__file__).resolve().parents[2] / "fixtures" / "media" / "astronaut.jpg"


@pytest.fixture
def manifest(tmp_path):
    """Two smiles, a photo of nothing, a file that is missing."""
    Image.new("RGB", (300, 300), (180, 170, 160)).save(tmp_path / "wall.png")
    path = tmp_path / "m.csv"
    lines = ["path,label,person", f"{ASTRONAUT},happiness,ec", f"{ASTRONAUT},sadness,ec"]
    path.write_text("\n".join([*lines, "wall.png,happiness,x", "gone.png,happiness,x"]) + "\n")
    return path


def test_evaluate_scores_every_row_of_a_manifest(manifest, tmp_path, capsys):
    out = tmp_path / "result.json"
    assert main(["evaluate", "face", "--manifest", str(manifest), "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["n"] == 4
    assert found["accuracy"] == 0.25
    assert found["uar"] == pytest.approx((1 / 3 + 0) / 2)
    assert found["unusable"] == {"count": 2, "reasons": {"missing_file": 1, "no_face": 1}}
    assert set(found["per_class"]) == {"happiness", "sadness"}
    assert {"macro_f1", "ece", "abstained", "model"} <= set(found)
    assert "unusable 2" in capsys.readouterr().out


def test_crops_are_scored_without_detection(manifest, tmp_path):
    out = tmp_path / "result.json"
    assert main(["evaluate", "face", "--manifest", str(manifest), "--out", str(out), "--cropped"]) == 0
    assert json.loads(out.read_text())["unusable"]["reasons"] == {"missing_file": 1}


def test_a_personal_baseline_for_faces_leaves_out_the_first_rows_and_says_it_does_nothing_more(manifest, tmp_path):
    out = tmp_path / "result.json"
    assert main(["evaluate", "face", "--manifest", str(manifest), "--out", str(out), "--personal-baseline", "1"]) == 0
    found = json.loads(out.read_text())
    assert found["n"] == 2
    assert found["personal_baseline"]["k"] == 1
    assert found["personal_baseline"]["effect"].startswith("none")


def test_analyse_prints_the_distribution_for_people_and_for_machines(capsys):
    assert main(["analyse", "--face", str(ASTRONAUT), "--text", "Guten Morgen zusammen"]) == 0
    told = capsys.readouterr().out
    assert "face: expressed happiness" in told
    assert "text: unusable (other_language)" in told
    assert "weights: face 1.00" in told
    assert main(["analyse", "--face", str(ASTRONAUT), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["modalities"]["face"]["emotion"] == "happiness"
    assert sum(found["modalities"]["face"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert found["fused"]["weights"] == {"face": 1.0}


def test_an_unusable_photo_is_told_with_its_reason(manifest, capsys):
    assert main(["analyse", "--face", str(manifest.parent / "wall.png")]) == 0
    told = capsys.readouterr().out
    assert "face: unusable (no_face). No face was found." in told
    assert "together: nothing could be read" in told


def test_without_a_checkpoint_a_modality_says_no_model(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checkpoint, "FOLDER", tmp_path)
    assert main(["analyse", "--face", str(ASTRONAUT)]) == 0
    assert "face: no model" in capsys.readouterr().out


def test_card_prints_what_ships(capsys):
    assert main(["card", "face"]) == 0
    assert json.loads(capsys.readouterr().out) == checkpoint.read_card(checkpoint.default_path("face"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["analyse"], "at least one of"),
        (["analyse", "--face", "/nowhere.jpg"], "/nowhere.jpg is not a file"),
        (["evaluate", "face", "--manifest", "/nowhere.csv", "--out", "x.json"], "/nowhere.csv: No such file"),
        (["evaluate", "face", "--manifest", "m.csv", "--out", "/no/folder/x.json"], "/no/folder is not a folder"),
        (["evaluate", "voice", "--manifest", "m.csv", "--out", "x.json", "--cropped"], "--cropped is for faces"),
        (["train", "face", "--data", "/nowhere", "--out", "x"], "/nowhere is not a folder"),
        (["card", "face", "--model", "/nowhere.safetensors"], "no model at /nowhere.safetensors"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, complaint, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["train", "hands"], ["nonsense"], [], ["train", "face", "--data", "d", "--out", "o", "--epochs", "0"]]
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def tiny_fer2013(tmp_path, monkeypatch):
    """Sixty pictures of two kinds; the kind is the emotion. The first ten are held out."""
    rng = np.random.default_rng(0)
    labels = np.tile([3, 4], 30)  # happy, sad
    images = rng.integers(0, 60, (60, 48, 48)).astype(np.uint8)
    images[labels == 3, :24] += 150  # light above
    images[labels == 4, :, :24] += 150  # light on one side
    data = tmp_path / "data"
    data.mkdir()
    write_fer2013(data, images, labels)
    from emotion.data import fer2013

    def split(train):
        held_out = np.arange(len(train)) < 10
        return train.take(~held_out), train.take(held_out)

    monkeypatch.setattr(fer2013, "split", split)
    return data


def test_train_writes_a_checkpoint_and_release_opens_the_public_test_once(tiny_fer2013, tmp_path, capsys):
    run, shipped = tmp_path / "run", tmp_path / "shipped" / "face.safetensors"
    assert main(["train", "face", "--data", str(tiny_fer2013), "--out", str(run), "--epochs", "2"]) == 0
    assert "held-out tenth" in capsys.readouterr().out
    card = checkpoint.read_card(run / "face.safetensors")
    assert card["openings"] == []
    assert card["training"]["epochs_done"] == 2
    assert card["validation"]["n"] == 10
    release = ["release", "face", "--model", str(run / "face.safetensors"), "--data", str(tiny_fer2013)]
    assert main([*release, "--to", str(shipped)]) == 0
    [opening] = checkpoint.read_card(shipped)["openings"]
    assert opening["original_labels"]["n"] == 60
    assert opening["without_near_identical_training_pictures"]["n"] == 0  # here the test repeats the training part
    assert main([*release, "--to", str(shipped)]) == 2
    assert "opened" in capsys.readouterr().err


@pytest.fixture
def voice_model(tmp_path):
    """An untrained network: enough to see which clips are heard and against what."""
    import torch

    from emotion.networks.compact_voice import CompactVoice, VoiceEnsemble

    torch.manual_seed(0)
    network = CompactVoice()
    network.population_mean_db.fill_(-30.0)
    network.population_deviation_db.fill_(10.0)
    path = tmp_path / "voice.safetensors"
    card = {"network": "compact_voice", "band": None, "temperature": 1.0, "prior_clips": 1.0, "everybody": [0.0] * 7}
    checkpoint.save(path, VoiceEnsemble([network]).state_dict(), {**card, "abstention": {"threshold": 0.0}})
    return path


@pytest.fixture
def voices(tmp_path):
    """Per person a beep-like voice, three clips; then a silent clip and a missing one."""
    import soundfile

    rng = np.random.default_rng(0)
    lines = ["path,label,person"]
    for person, pitch_hz in (("a", 120), ("b", 220)):
        for take in range(3):
            t = np.arange(32_000) / 16_000
            voiced = np.sin(2 * np.pi * (pitch_hz + 5 * take) * t) + 0.5 * np.sin(2 * np.pi * 9 * pitch_hz * t)
            clip = 0.2 * voiced * (np.sin(2 * np.pi * 2 * t) > -0.5) + 1e-3 * rng.normal(size=len(t))
            soundfile.write(tmp_path / f"{person}{take}.wav", clip, 16_000)
            lines.append(f"{person}{take}.wav,anger,{person}")
    soundfile.write(tmp_path / "silent.wav", np.zeros(32_000), 16_000)
    path = tmp_path / "voices.csv"
    path.write_text("\n".join([*lines, "silent.wav,fear,b", "gone.wav,fear,b"]) + "\n")
    return path


def test_voices_are_scored_and_the_first_clips_of_a_person_set_the_baseline(voices, voice_model, tmp_path):
    out = tmp_path / "result.json"
    command = ["evaluate", "voice", "--manifest", str(voices), "--out", str(out), "--model", str(voice_model)]
    assert main(command) == 0
    plain = json.loads(out.read_text())
    assert plain["n"] == 8
    assert plain["unusable"] == {"count": 2, "reasons": {"missing_file": 1, "silent": 1}}
    assert plain["per_class"]["fear"]["recall"] == 0
    assert main([*command, "--personal-baseline", "2"]) == 0
    personal = json.loads(out.read_text())
    assert personal["n"] == 4
    assert personal["personal_baseline"] == {"k": 2, "people_with_baseline": 2}
    assert personal["log_loss"] != plain["log_loss"]


def test_too_long_a_baseline_leaves_nothing_to_score(voices, voice_model, tmp_path, capsys):
    command = ["evaluate", "voice", "--manifest", str(voices), "--out", str(tmp_path / "r.json")]
    assert main([*command, "--model", str(voice_model), "--personal-baseline", "9"]) == 2
    assert "no rows are left" in capsys.readouterr().err


def test_train_refuses_a_folder_without_the_data_set(tmp_path, capsys):
    assert main(["train", "face", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "holds no FER2013" in capsys.readouterr().err
