"""More than 400 hostile files against the child process that decodes strangers' photos and recordings."""

import sys
from collections import Counter

import numpy as np
import pytest

from emotion import decoder, photo, recording
from emotion.decoder import BrokenFile, Decoder, DecoderCrashed
from tests.emotion import hostile, usage
from tests.emotion.hostile import Hostile, any_file, photos
from tests.emotion.hostile.good import landscape

SEED = 20261121
REASONS = {"face": {*photo.MESSAGES, "read"}, "voice": {*recording.MESSAGES, "read"}}


@pytest.fixture(scope="module")
def child():
    one = Decoder()
    yield one
    one.close()


def outcome(child: Decoder, file: Hostile) -> str:
    """ "read", "nonsense" where that holds no picture or no sound, "crashed", or the reason of a refusal."""
    try:
        if file.kind == "face":
            height, width, channels = child.photo(file.data).shape
            return "read" if min(height, width) >= photo.LEAST_FACE_PIXELS and channels == 3 else "nonsense"
        samples, rate_hz = child.recording(file.data)
        fits = 0 < samples.size <= recording.LONGEST_S * rate_hz
        return "read" if fits and np.isfinite(samples).all() else "nonsense"
    except BrokenFile as problem:
        return problem.code
    except DecoderCrashed:
        return "crashed"


def test_a_seed_makes_the_same_files_each_time_and_another_seed_others():
    good = hostile.good_photos()
    first, again, other = (list(any_file.flipped_bits(np.random.default_rng(n), good)) for n in (1, 1, 2))
    assert first == again != other


def test_no_hostile_file_takes_the_decoder_down_or_more_than_its_share(child, capsys, monkeypatch):
    """Each is read or refused with a reason, by one and the same child, within 500 MB and 5 s of CPU."""
    monkeypatch.setattr(decoder, "PATIENCE_S", 300.0)  # a busy test machine is no fault of the file's
    child.photo(hostile.good_photos()["jpeg"])  # what importing takes is nobody's share
    child.recording(hostile.good_recordings()["wav"])
    first, mutators, outcomes, cpu_s, peak_bytes = child._child.pid, set(), {}, {}, {}
    for file in hostile.corpus(SEED):
        mutators.add(file.mutator)
        pid = child._alive().pid
        usage.forget_peak(pid)
        before_s = usage.cpu_s(pid)
        outcomes[file.kind, str(file)] = outcome(child, file)
        if child._child:
            cpu_s[str(file)], peak_bytes[str(file)] = usage.cpu_s(pid) - before_s, usage.peak_bytes(pid)
    count = Counter((kind, what) for (kind, _), what in outcomes.items())
    with capsys.disabled():
        told = ", ".join(f"{kind} {what} {number}" for (kind, what), number in sorted(count.items()))
        sys.stdout.write(
            f"\n{count.total()} hostile files of {len(mutators)} mutators in the decoder: {told}; "
            f"at most {max(cpu_s.values()):.2f} s of CPU and {max(peak_bytes.values()) / 2**20:.0f} MB\n"
        )
    assert count.total() == len(outcomes) >= 200
    assert mutators == {mutator.__name__ for mutator in hostile.MUTATORS}
    assert len(mutators) >= 20
    assert {name: what for (kind, name), what in outcomes.items() if what not in REASONS[kind]} == {}
    assert child._child.pid == first
    assert {name: used for name, used in cpu_s.items() if used >= usage.MOST_CPU_S} == {}
    assert {name: most for name, most in peak_bytes.items() if most >= usage.MOST_BYTES} == {}
    assert min(count["face", "read"], count["voice", "read"]) > 20
    assert min(count["face", "broken_file"], count["voice", "broken_file"]) > 50


ODD = dict(photos.odd_colours(np.random.default_rng(0)))


@pytest.mark.parametrize("name", [name for name in ODD if "L" in name or name in {"png-RGBA", "png-16 bits"}])
def test_photos_of_odd_colours_are_read_as_what_they_show(child, name):
    pixels = child.photo(ODD[name]).astype(float)
    if name == "png-16 bits":  # 0 to 65,535 over the rows
        shown = np.linspace(0, 255, 160 * 120).reshape(120, 160, 1)
    else:
        shown = np.asarray(landscape()).astype(float)
    assert np.abs(pixels - shown).mean() < 4
