"""The checkpoints that may be used for everything, in place of those that learned from non-commercial data."""

import json

import pytest

from emotion import checkpoint
from emotion.checkpoint import FOLDER, PERMISSIVE, NoModel
from emotion.face import FaceRecogniser
from emotion.text import TextRecogniser
from emotion.voice import VoiceRecogniser
from tests.emotion.test_voice import SAMPLE


def test_an_empty_folder_is_what_ships_and_a_named_one_is_taken_as_it_is(tmp_path):
    assert checkpoint.find("", "voice") == FOLDER / "voice.safetensors"
    assert checkpoint.find(str(tmp_path), "voice") == tmp_path / "voice.safetensors"


def test_no_permissive_card_names_data_that_are_not():
    cards = [json.loads(path.read_text()) for path in (FOLDER / PERMISSIVE).glob("*.json") if "." not in path.stem]
    assert cards
    for card in cards:
        assert card["non_commercial"] is False
        assert not [data for data in card["training"]["data"].values() if "NC" in data["licence"]]


def test_the_permissive_voice_reads_a_real_voice_and_names_what_it_never_heard():
    recogniser = VoiceRecogniser.load(checkpoint.find(PERMISSIVE, "voice"))
    estimate = recogniser.predict(SAMPLE)
    assert estimate.probabilities.sum() == pytest.approx(1)
    assert recogniser.card["training"]["classes_never_heard"] == ["surprise"]
    assert recogniser.version != VoiceRecogniser.load().version


def test_words_are_read_by_the_shipped_network_whose_data_are_free():
    assert TextRecogniser.load(checkpoint.find(PERMISSIVE, "text")).card["non_commercial"] is False


def test_no_face_network_may_be_used_for_everything():
    with pytest.raises(NoModel):
        FaceRecogniser.load(checkpoint.find(PERMISSIVE, "face"))
