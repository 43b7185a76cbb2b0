"""The bench of robust voices: each disguise does what its name says, and a refused recording counts as wrong."""

import numpy as np
import pytest
import soundfile

from emotion.bench import Place, voice_data, voice_methods
from emotion.bench import robustness_voice as robustness
from emotion.bench.cells import Cell
from emotion.data.clips import Clip
from emotion.estimate import EMOTIONS
from emotion.voice_corpus import load

RATE_HZ = 16_000
PITCHES_HZ = {"anger": 600, "sadness": 1500, "happiness": 5000}  # the last is beyond a telephone
PEOPLE = ("ravdess-02", "emodb-03", "ravdess-03", "ravdess-06", "ravdess-07", "emodb-09", "nemo-KD0", "nemo-MK0")


def words(pitch_hz: float, seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """A tone in three words a second with a little hiss: what passes for speech here."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    spoken = (t * 3) % 1 < 0.6
    hiss = np.random.default_rng(seed).normal(0, 1e-4, t.size)
    return (0.3 * spoken * np.sin(2 * np.pi * pitch_hz * t) + hiss).astype(np.float32)


def disguise(name: str, samples: np.ndarray, others=()) -> np.ndarray:
    return robustness.CONDITIONS[name](samples, np.random.default_rng(0), list(others))


def share_above(samples: np.ndarray, hz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(power[np.fft.rfftfreq(samples.size, 1 / RATE_HZ) > hz].sum() / power.sum())


@pytest.mark.parametrize("snr_db", [20, 10, 0])
def test_babble_is_as_far_below_the_speech_itself_as_it_says(snr_db):
    alone = words(440.0)
    crowd = disguise(f"babble at {snr_db} dB", alone, [words(hz, seed=hz) for hz in (300, 700, 900)]) - alone
    spoken = alone[np.abs(alone) > 0.01]
    assert 20 * np.log10(np.sqrt(2) * 0.3 / 2 / crowd.std()) == pytest.approx(snr_db, abs=1.0)
    assert spoken.size < 0.7 * alone.size  # pauses do not count


def test_a_telephone_keeps_the_middle_alone():
    low, middle, high = words(100.0), words(1000.0), words(5000.0)
    kept = [np.std(disguise("telephone band", part)) / np.std(part) for part in (low, middle, high)]
    assert kept[1] == pytest.approx(1, abs=0.05)
    assert max(kept[0], kept[2]) < 0.05


@pytest.mark.parametrize("codec", ["GSM 06.10", "Opus at 10 kbit/s"])
def test_a_codec_keeps_the_speech_and_changes_it(codec):
    rng = np.random.default_rng(1)
    sent = words(800.0) + 0.1 * (words(1.0) != 0) * rng.standard_normal(3 * RATE_HZ).astype(np.float32)
    heard = disguise(codec, sent)
    size = min(sent.size, heard.size)
    delays = [np.corrcoef(sent[: size - 400], heard[shift : shift + size - 400])[0, 1] for shift in range(400)]
    assert 0.5 < max(delays) < 0.999
    assert codec != "GSM 06.10" or share_above(heard, 4100) < 0.01


def test_a_room_goes_on_after_the_word_and_dies_away():
    click = np.zeros(RATE_HZ, np.float32)
    click[100] = 1
    echo = disguise("hard room", click)
    early, late = (np.square(echo[start : start + 800]).sum() for start in (200, 200 + RATE_HZ * 3 // 10))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=4)  # half of 60 dB after half of .6 s
    assert np.square(echo[101:]).sum() == pytest.approx(1, abs=0.1)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Eight people, of whom the first two belong to fold 1; each says three emotions by their pitch, twice."""
    clips = []
    for person in PEOPLE:
        for emotion, pitch in PITCHES_HZ.items():
            for take in range(2):
                path = tmp_path / f"{person}-{emotion}-{take}.wav"
                soundfile.write(path, words(pitch, seed=take), RATE_HZ)
                clips.append(Clip(path, emotion, person, person.split("-")[0], "female"))
    corpus = load(clips, tmp_path / "features", voice_data.BAND)
    voices = voice_data.VoiceSet("joint", clips, corpus, tmp_path)
    monkeypatch.setattr(voice_data, "load", lambda name, data, cache: voices)
    monkeypatch.setitem(voice_methods.METHODS, "compact_voice", by_pitch)
    return Place(tmp_path, tmp_path / "cache")


def by_pitch(voices, rows, selection, folder, seed):
    """Knows each emotion by the loudest band, from the rows that it may learn from alone."""
    corpus = voices.corpus
    assert not {"ravdess-02", "emodb-03"} & set(corpus.people[np.concatenate([rows, selection])])

    def band(row: int) -> int:
        return int(corpus.spectra[0][row].astype(float).mean(axis=1).argmax())

    known = {band(row): corpus.labels[row] for row in rows}

    def answer(asked, own):
        return np.eye(len(EMOTIONS))[[known[min(known, key=lambda b: abs(b - band(row)))] for row in asked]]

    return answer


def test_a_cell_judges_the_people_left_out_under_each_condition(place):
    place.cache.mkdir()
    line = robustness.work(Cell("E8", "compact_voice", "voices of fold 1"), place)
    told = line["conditions"]
    assert line["n"] == 12
    assert set(told[robustness.CLEAN]["people"]) == {"ravdess-02", "emodb-03"}

    def uar(name: str) -> float:
        return robustness.uar(sum(map(np.array, told[name]["people"].values())))

    assert uar(robustness.CLEAN) == uar("Opus at 10 kbit/s") == 1
    assert uar("babble at 20 dB") > uar("babble at 0 dB")
    assert uar("telephone band") == pytest.approx(2 / 3)  # nothing is left of happiness
    assert told[robustness.CLEAN]["refused"] == 0


def test_the_peer_reads_the_same_disguised_recordings(place):
    place.cache.mkdir()
    told = robustness.work(Cell("E8", "svm", "voices of fold 1"), place)["conditions"]
    assert set(told) == set(robustness.CONDITIONS)
    right = {name: sum(sum(counts[1]) for counts in told[name]["people"].values()) for name in told}
    assert right[robustness.CLEAN] == 12
    assert right["telephone band"] <= 8


def test_the_report_pools_the_folds_that_both_were_judged_on():
    def line(method: str, fold: int, right: int) -> dict:
        people = {f"ravdess-{fold:02d}": [[10, 10], [right, right]]}
        told = {name: {"refused": 0, "people": people} for name in robustness.CONDITIONS}
        return {"method": method, "data": f"voices of fold {fold}", "conditions": told}

    lines = [line("compact_voice", 1, 9), line("compact_voice", 2, 7), line("svm", 1, 5), line("svm", 2, 5)]
    head, table = robustness.report([*lines, line("svm", 3, 1)])
    assert head == "### Voices, 2 of 5 folds"
    assert "| GSM 06.10 | 80.0 (100) | 50.0 (100) |" in table
    assert robustness.report(lines[:2]) == []
