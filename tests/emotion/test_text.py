"""Words are read by NumPy alone, as the network that learned says; what cannot be read is said, not guessed."""

import csv
import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from emotion import checkpoint, text_training, words
from emotion.__main__ import main
from emotion.data import goemotions
from emotion.data.clips import DataMissing
from emotion.networks.compact_text import CompactText, collate
from emotion.text import TextRecogniser, UnusableText

GLAD, SAD = "what a wonderful happy day", "so sad and lonely today"
FINE = ["anger", "joy", "sadness", "neutral"]


@pytest.fixture
def data(tmp_path):
    """GoEmotions in small: joy and sadness, told apart by their words."""
    folder = tmp_path / "data" / "goemotions"
    folder.mkdir(parents=True)
    (folder / "original_labels.txt").write_text("\n".join(FINE))
    for split, copies in (("train", 40), ("dev", 4), ("test", 4)):
        with gzip.open(folder / f"{split}.csv.gz", "wt", newline="") as file:
            table = csv.writer(file)
            table.writerow(["text", "labels", "id"])
            table.writerows([[GLAD, "1", "a"], [SAD, "2", "b"], ["well, whatever", "1,2", "c"]] * copies)
    return tmp_path / "data"


@pytest.fixture
def recogniser(tmp_path):
    torch.manual_seed(0)
    return stored(CompactText(), tmp_path)


def stored(network: CompactText, folder) -> TextRecogniser:
    scale, rounded = text_training.in_bytes(network)
    known = torch.from_numpy(words.as_set(set(words.words(f"{GLAD} {SAD}"))))
    weights = network.state_dict() | {"grams.weight": rounded, "grams.scale": scale, "known": known}
    card = {"network": "compact_text", "temperature": 1.5, "abstention": {"threshold": 0.2}}
    checkpoint.save(folder / "text.safetensors", weights, card, half=False)
    return TextRecogniser.load(folder / "text.safetensors")


def test_numpy_and_torch_agree(tmp_path):
    torch.manual_seed(0)
    network = CompactText().eval()
    recogniser = stored(network, tmp_path)
    for text in (GLAD, SAD, "Oh!", "I can't, no."):
        with torch.no_grad():
            theirs = network(collate([words.ngrams(text)]))[0].numpy()
        assert np.abs(recogniser.logits(text) - theirs).max() < 1e-3  # scales are stored in 32 bits here, judged in 16


def test_embeddings_in_bytes_are_those_of_the_network():
    torch.manual_seed(0)
    network = CompactText()
    before = network.grams.weight.detach().clone()
    scale, rounded = text_training.in_bytes(network)
    assert rounded.dtype == torch.int8
    assert (network.grams.weight - before).abs().max() <= 0.51 * scale.max() + 1e-3


def test_a_text_in_company_is_read_as_when_alone():
    torch.manual_seed(0)
    network = CompactText().eval()
    grams = [words.ngrams(GLAD), words.ngrams("Oh!")]
    with torch.no_grad():
        together, alone = network(collate(grams)), network(collate(grams[1:]))
    assert torch.allclose(together[1], alone[0], atol=1e-6)


def test_a_word_stands_for_itself_its_company_and_its_letters():
    glad = words.ngrams("so glad")[1]
    assert set(glad) & set(words.ngrams("gladly")[0])  # letters are shared
    assert words.ngrams("so glad")[0][0] == words.ngrams("So sad")[0][0]  # the word itself, whatever its case
    assert words.ngrams("so glad")[0] != words.ngrams("so sad")[0]  # and the pair that begins with it


@pytest.mark.parametrize(
    ("text", "code"), [("", "too_few_words"), ("Ugh!!", "too_few_words"), ("Mir geht es heute gut", "other_language")]
)
def test_what_cannot_be_read_is_refused_with_advice(recogniser, text, code):
    with pytest.raises(UnusableText) as refused:
        recogniser.predict(text)
    assert refused.value.code == code
    assert "Write a whole sentence" in refused.value.message or "English only" in refused.value.message


def test_quality_is_the_share_of_words_known(recogniser):
    assert recogniser.predict(SAD).quality == 1
    assert recogniser.predict("so sad and lonely zebras").quality == pytest.approx(0.8)


def test_training_writes_a_checkpoint_that_tells_joy_from_sadness(data, tmp_path, capsys):
    assert main(["train", "text", "--data", str(data), "--out", str(tmp_path), "--epochs", "12"]) == 0
    assert "macro-F1" in capsys.readouterr().out
    recogniser = TextRecogniser.load(tmp_path / "text.safetensors")
    assert recogniser.predict(GLAD).emotion == "happiness"
    assert recogniser.predict(SAD).emotion == "sadness"
    card = json.loads((tmp_path / "text.json").read_text())
    assert card["licence"].startswith("Apache-2.0")
    assert card["languages"] == ["en"]


def test_equal_seeds_give_equal_networks(data, tmp_path):
    digests = {
        text_training.train(data, tmp_path / str(run), recipe=text_training.Recipe(epochs=1), seed=3)["sha256"]
        for run in (1, 2)
    }
    assert len(digests) == 1


def test_comments_of_two_classes_are_learnt_in_equal_parts_and_not_judged(data):
    part = goemotions.load(data / "goemotions", "dev")
    assert part.shares[2].tolist() == [0, 0, 0, 0.5, 0, 0.5, 0]
    assert len(part.of_one_class().texts) == 8


def test_missing_data_is_one_line(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert main(["train", "text", "--data", str(tmp_path / "data"), "--out", str(tmp_path)]) == 2
    assert "does not hold" in capsys.readouterr().err
    with pytest.raises(DataMissing):
        goemotions.load(tmp_path, "train")


def test_reading_text_needs_no_torch():
    code = "import sys, emotion.text; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_text_network_that_ships_reads_english_and_refuses_german():
    recogniser = TextRecogniser.load()
    assert recogniser.predict("Had a lovely walk with my sister today").emotion == "happiness"
    assert recogniser.predict("I am scared of tomorrow's exam").emotion == "fear"
    with pytest.raises(UnusableText):
        recogniser.predict("Mir geht es heute nicht gut, ich bin traurig")


def test_a_reader_that_closes_early_is_no_error():
    command = f"{sys.executable} -m emotion card text | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
