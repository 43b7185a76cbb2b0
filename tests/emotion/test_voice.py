import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from scipy import signal
from scipy.special import softmax

from emotion import checkpoint
from emotion.features import log_mel
from emotion.networks.compact_voice import CompactVoice, VoiceEnsemble
from emotion.recording import BAND_PASS_HZ, MESSAGES, UnusableRecording, band_pass, prepare, squared_gain
from emotion.voice import VoiceBaseline, VoiceRecogniser
from tests.emotion.voices import voice, wav

SAMPLE = Path(__file__).parents[2] / "fixtures" / "media" / "librivox.wav"
CARD = {
    "network": "compact_voice",
    "band": "wide",
    "temperature": 1.0,
    "prior_clips": 8.0,
    "members": 1,
    "abstention": {"threshold": 0.0},
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A network with random weights: its answers mean nothing, but every input must reach them alike."""
    torch.manual_seed(0)
    network = CompactVoice()
    network.population_mean_db.fill_(-40.0)
    network.population_deviation_db.fill_(15.0)
    answer_differently(network)
    path = tmp_path_factory.mktemp("voice") / "voice.safetensors"
    network = VoiceEnsemble([network])
    checkpoint.save(path, network.state_dict(), {**CARD, "everybody": network.everybody.tolist()})
    return path


@torch.no_grad()
def answer_differently(network):
    """Random weights hardly tell sounds apart: centre the head on one voice, so that differences show."""
    spectrum = torch.from_numpy(log_mel(prepare(wav(voice())).samples))[None]
    network.head.weight.mul_(200)
    network.head.bias.copy_(-network.head.weight @ network.eval().embed(spectrum)[0])


@pytest.fixture(scope="module")
def recogniser(path):
    return VoiceRecogniser.load(path)


def difference(one, other):
    return np.abs(one.probabilities - other.probabilities).max()


def test_another_voice_gives_another_estimate(recogniser):
    assert difference(recogniser.predict(wav(voice())), recogniser.predict(wav(voice(pitch_hz=260, rise=0.4)))) > 0.02


def test_loudness_channels_rate_and_padding_do_not_change_the_estimate(recogniser):
    spoken = voice(noise=0)
    expected = recogniser.predict(wav(spoken))
    padded = np.concatenate([np.zeros(8000, np.float32), spoken, np.zeros(20_000, np.float32)])
    fast = soxr.resample(spoken, 16_000, 48_000)

    assert difference(recogniser.predict(wav(0.02 * spoken)), expected) < 0.005
    assert difference(recogniser.predict(wav(np.column_stack([spoken, spoken]))), expected) < 1e-6
    assert difference(recogniser.predict(wav(padded)), expected) < 0.005
    assert difference(recogniser.predict(wav(fast, 48_000)), expected) < 0.02


def test_a_path_and_its_bytes_are_the_same(recogniser, tmp_path):
    (tmp_path / "clip.wav").write_bytes(wav(voice()))
    from_path = recogniser.predict(tmp_path / "clip.wav")
    assert difference(from_path, recogniser.predict(wav(voice()))) == 0


@pytest.mark.parametrize(
    ("code", "samples"),
    [
        ("silent", np.zeros(48_000, np.float32)),
        ("silent", 1e-5 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)),
        ("too_short", voice(0.3)),
        ("too_short", np.concatenate([voice(0.4), np.zeros(48_000, np.float32)])),
        ("clipped", np.clip(voice() * 60, -1, 1)),
        ("too_noisy", 0.1 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)),
    ],
)
def test_an_unusable_recording_is_refused_with_a_reason(recogniser, code, samples):
    assert recogniser.predict(wav(voice())).quality > 0.5
    with pytest.raises(UnusableRecording) as refusal:
        recogniser.predict(wav(samples))
    assert refusal.value.code == code
    assert refusal.value.message == MESSAGES[code]


@pytest.mark.parametrize("data", [b"", b"not a sound", wav(voice())[:30], wav(np.full(16_000, np.nan, np.float32))])
def test_a_broken_file_is_refused(recogniser, data):
    with pytest.raises(UnusableRecording) as refusal:
        recogniser.predict(data)
    assert refusal.value.code == "broken_file"


def test_quality_falls_with_noise_and_with_clipping_and_in_short_recordings():
    clean = prepare(wav(voice(6.0)))
    noisy = prepare(wav(voice(6.0, noise=0.02)))
    distorted = prepare(wav(np.clip(voice(6.0) * 6, -1, 1)))
    short = prepare(wav(voice(1.8)))

    assert clean.quality > 0.8
    assert noisy.snr_db < clean.snr_db - 10
    assert noisy.quality < clean.quality
    assert distorted.clipped_share > 0.005
    assert distorted.quality < clean.quality
    assert short.quality < clean.quality


def test_silence_around_the_words_is_cut():
    silence = 1e-4 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    spoken = prepare(wav(voice(3.0)))
    surrounded = prepare(wav(np.concatenate([silence, voice(3.0), silence, silence])))

    assert surrounded.samples.size == pytest.approx(spoken.samples.size, abs=2400)


@pytest.mark.parametrize("band", BAND_PASS_HZ)
def test_the_filter_is_scipys_butterworth_forwards_and_backwards(band):
    spoken = voice(2.0, noise=0.01)
    sections = signal.butter(4, BAND_PASS_HZ[band], btype="bandpass", fs=16_000, output="sos")
    difference = band_pass(spoken, band) - signal.sosfiltfilt(sections, spoken)

    assert np.abs(difference[1600:-1600]).max() < 1e-6
    assert np.sqrt(np.mean(difference**2)) < 0.01 * np.sqrt(np.mean(spoken**2))  # at the ends nobody knows what follows

    frequency_hz = np.linspace(0, 8000, 400)
    _, response = signal.sosfreqz(sections, frequency_hz, fs=16_000)
    assert np.abs(squared_gain(frequency_hz, *BAND_PASS_HZ[band]) - np.abs(response) ** 2).max() < 1e-6


def test_the_filters_pass_their_band_alone():
    time_s = np.arange(32_000) / 16_000

    def kept(frequency_hz, band):
        tone = np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)
        return np.std(band_pass(tone, band)[8000:-8000]) / np.std(tone)

    assert kept(1000, "wide") == pytest.approx(1, abs=0.01)
    assert kept(1000, "telephone") == pytest.approx(1, abs=0.01)
    assert kept(20, "wide") < 0.01
    assert kept(150, "wide") > 0.9
    assert kept(100, "telephone") < 0.01
    assert kept(6000, "telephone") < 0.01
    assert kept(20, None) == 1


def test_a_baseline_of_nothing_is_the_population_and_more_clips_count_more(recogniser):
    clip = wav(voice())
    usual = recogniser.predict(clip)
    others = [wav(voice(pitch_hz=200, seed=i)) for i in range(8)]

    nothing = recogniser.predict(clip, VoiceBaseline.pooled([]))
    one = recogniser.predict(clip, recogniser.baseline(others[:1]))
    eight = recogniser.predict(clip, recogniser.baseline(others))

    assert difference(nothing, usual) == 0
    assert 0 < difference(one, usual) < difference(eight, usual)
    assert eight.details["baseline_clips"] == 8


def test_a_baseline_moves_from_everybody_to_the_person_by_its_share():
    person = np.array([2.0, -4.0])

    assert VoiceBaseline(8, person, "this").shrunken(prior_clips=8) == pytest.approx([1.0, -2.0])
    assert VoiceBaseline(24, person, "this").shrunken(prior_clips=8) == pytest.approx([1.5, -3.0])


def test_what_is_usual_for_a_voice_says_nothing(recogniser, path):
    """Where very many clips of a person sound like this one, what is left is the network's answer to nothing."""
    clip = wav(voice(rise=0.5))
    usual = VoiceBaseline.from_json({**recogniser.predict(clip).usual, "clips": 10**6})
    bias = checkpoint.load_arrays(path)[0]["members.0.head.bias"]

    assert recogniser.predict(clip, usual).probabilities == pytest.approx(softmax(bias), abs=0.02)
    assert np.abs(recogniser.predict(clip).probabilities - softmax(bias)).max() > 0.05


def test_a_stored_baseline_is_the_same(recogniser):
    baseline = recogniser.baseline([wav(voice())])
    again = VoiceBaseline.from_json(baseline.to_json())

    assert difference(recogniser.predict(wav(voice()), again), recogniser.predict(wav(voice()), baseline)) < 1e-4


def test_clips_pooled_one_by_one_are_the_baseline_of_all(recogniser):
    clips = [wav(voice(pitch_hz=100 + 30 * i, seed=i)) for i in range(3)]
    told = [VoiceBaseline.from_json(recogniser.predict(clip).usual) for clip in clips]
    pooled, together = VoiceBaseline.pooled(told), recogniser.baseline(clips)

    assert pooled.clips == together.clips == 3
    assert pooled.logits == pytest.approx(together.logits, rel=1e-3, abs=1e-3)
    assert pooled.network == recogniser.version


def test_with_a_baseline_the_estimate_without_it_is_told_too(recogniser):
    clip = wav(voice())
    against = recogniser.predict(clip, recogniser.baseline([wav(voice(pitch_hz=200))]))

    assert against.without_baseline == pytest.approx(recogniser.predict(clip).probabilities)
    assert np.abs(against.probabilities - against.without_baseline).max() > 0.001
    assert recogniser.predict(clip).without_baseline is None


def test_a_baseline_that_another_network_or_filter_heard_changes_nothing(recogniser):
    clip = wav(voice())
    told = recogniser.predict(wav(voice(pitch_hz=200))).usual
    older = {"clips": 1, "features": [1.0] * 320, "network": recogniser.version, "band": "wide"}

    def against(stored):
        read = recogniser.predict(clip, VoiceBaseline.from_json(stored))
        return difference(read, recogniser.predict(clip)), read.details["baseline_clips"]

    for strange in ({**told, "network": "compact_voice-00000000"}, {**told, "band": "telephone"}, older):
        assert against(strange) == (0, 0)
    changed, clips = against(told)
    assert (changed > 0.001, clips) == (True, 1)


def test_clips_that_an_earlier_network_heard_are_left_out_of_a_baseline():
    early, late = (VoiceBaseline(1, np.full(2, value), name) for value, name in ((9.0, "old"), (1.0, "new")))

    pooled = VoiceBaseline.pooled([early, early, late])

    assert (pooled.clips, pooled.network, pooled.logits.tolist()) == (1, "new", [1.0, 1.0])


def test_without_a_checkpoint_there_is_no_model(path, tmp_path):
    assert VoiceRecogniser.load(path).version.startswith("compact_voice-")
    with pytest.raises(checkpoint.NoModel):
        VoiceRecogniser.load(tmp_path / "voice.safetensors")


def test_another_networks_checkpoint_is_refused(path, tmp_path):
    weights, card = checkpoint.load(path)
    checkpoint.save(tmp_path / "other.safetensors", weights, {**card, "network": "compact_face"})
    with pytest.raises(checkpoint.BadCheckpoint, match="not compact_voice"):
        VoiceRecogniser.load(tmp_path / "other.safetensors")


def test_the_network_is_small_and_takes_any_length():
    network = CompactVoice().eval()

    assert sum(p.numel() for p in network.parameters()) == 581_885
    for frames in (16, 100, 1500):
        assert network(torch.zeros(1, 40, frames)).shape == (1, 7)


def test_three_networks_are_read_as_one_whose_logits_are_their_mean():
    torch.manual_seed(1)
    members = [CompactVoice().eval() for _ in range(3)]
    for member in members:
        member.head.bias.data.normal_()
    together, spectrum = VoiceEnsemble(members).eval(), torch.randn(2, 40, 100) * 10 - 40
    mean = torch.stack([member(spectrum) for member in members]).mean(0)

    assert together(spectrum).detach() == pytest.approx(mean.detach(), abs=1e-5)
    features = together.embed(spectrum)
    assert features.shape == (2, 3 * 320)
    assert together.decide(torch.zeros_like(features))[0].detach() == pytest.approx(together.everybody.detach())
    assert sum(p.numel() for p in together.parameters()) < 2_000_000


def test_taking_a_persons_logits_off_is_taking_their_features_off():
    """Seven numbers of a clip are kept instead of hundreds: the network's last layer is linear."""
    network, spectra = VoiceEnsemble([CompactVoice() for _ in range(2)]).eval(), torch.randn(4, 40, 100) * 10 - 40
    with torch.inference_mode():
        features = network.embed(spectra)
        own = features[1:].mean(0) * 3 / (3 + 12)
        usual = VoiceBaseline(3, (network.decide(features[1:]) - network.everybody).mean(0).numpy(), "this")
        by_logits = network.decide(features[:1])[0].numpy() - usual.shrunken(prior_clips=12)
        assert by_logits == pytest.approx(network.decide(features[:1] - own)[0].numpy(), abs=1e-5)


def test_reading_a_voice_needs_no_librosa():
    script = "import emotion.voice, sys; print('librosa' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_shipped_network_reads_a_real_voice():
    recogniser = VoiceRecogniser.load()
    estimate = recogniser.predict(SAMPLE)

    assert estimate.quality > 0.4
    assert estimate.probabilities.sum() == pytest.approx(1)
    assert recogniser.card["non_commercial"]
    assert difference(estimate, recogniser.predict(wav(voice(pitch_hz=260, rise=0.5)))) > 0.05
