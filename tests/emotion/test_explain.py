"""An explanation points at the part that the network used, in bounded time, and can be opened by others."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from emotion import explain
from emotion.__main__ import main
from emotion.face import FaceRecogniser
from emotion.recording import prepare
from emotion.voice import VoiceRecogniser

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"


class ReadsOnePlace:
    """A recogniser whose happiness is the brightness of one patch of the face."""

    temperature = 1.0

    def network(self, faces):
        logits = np.zeros((len(faces), 7))
        logits[:, 3] = faces[:, 36:48, 0:12].mean((1, 2)) / 10
        return logits, logits


def test_the_place_that_the_network_reads_is_found():
    face = np.zeros((48, 48), np.uint8)
    face[36:, :12] = 200
    found = explain.explain_crop(ReadsOnePlace(), face)
    assert found.emotion == "happiness"
    assert np.unravel_index(found.drops.argmax(), found.drops.shape) == (6, 0)
    assert found.drops[0, 6] == 0


class ReadsOneSecond:
    """A recogniser whose anger is the level of the first half second above 4 kHz against the mean."""

    temperature = 1.0

    def hear(self, spectrum):
        logits = np.zeros((1, 7))
        logits[0, 0] = spectrum[30:, :50].mean() - spectrum[30:].mean() + 1
        return logits, logits


def test_the_moment_and_the_pitches_that_the_network_hears_are_found():
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 1e-3, 2 * 16_000).astype(np.float32)
    samples[:8_000] = rng.normal(0, 0.1, 8_000)
    speech = type("Speech", (), {"samples": samples})
    found = explain.explain_voice(ReadsOneSecond(), speech)
    assert found.emotion == "anger"
    assert found.window_drops.argmax() == 0
    assert found.edges_hz[found.band_drops.argmax()] > 2_500
    assert found.edges_hz[-1] == pytest.approx(8_000)


def test_explaining_a_check_in_takes_less_than_two_seconds_of_cpu():
    face, voice = FaceRecogniser.load(), VoiceRecogniser.load()
    speech, photo = prepare(MEDIA / "librivox.wav", voice.band), (MEDIA / "astronaut.jpg").read_bytes()
    began = time.process_time()
    explain.explain_face(face, photo)
    explain.explain_voice(voice, speech)
    assert time.process_time() - began < 2.0


def test_the_command_writes_pictures_and_numbers(tmp_path, capsys):
    files = ["--face", str(MEDIA / "astronaut.jpg"), "--voice", str(MEDIA / "librivox.wav")]
    assert main(["analyse", *files, "--explain", "--out", str(tmp_path / "why"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["explanations"]
    assert printed == json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert np.shape(printed["face"]["drops"]) == (7, 7)
    assert len(printed["voice"]["starts_s"]) == len(printed["voice"]["window_drops"]) + 1
    for name in ("face", "voice"):
        assert (tmp_path / "why" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_words_alone_are_not_explained(capsys):
    assert main(["analyse", "--text", "A quiet day at home.", "--explain"]) == 2
    assert "--explain needs --face or --voice" in capsys.readouterr().err
