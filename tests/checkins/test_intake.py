import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from mhealth.checkins import intake
from mhealth.platform.uploads import TooLarge
from tests.checkins import samples


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_a_photo_loses_its_metadata_and_keeps_its_pixels(fmt):
    sent = samples.photo(fmt)
    assert samples.PLACE.encode() in sent
    stored = intake.photo(sent).content
    assert samples.PLACE.encode() not in stored
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored))), np.asarray(Image.open(io.BytesIO(sent))))


def test_the_orientation_of_a_photo_survives():
    stored = intake.photo(samples.photo(orientation=6)).content
    assert Image.open(io.BytesIO(stored)).getexif()[0x0112] == 6


def test_what_hides_behind_the_end_of_a_photo_is_dropped():
    assert b"PK\x03\x04" not in intake.photo(samples.photo() + b"PK\x03\x04 a second file").content


@pytest.mark.parametrize(("fmt", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS")])
def test_a_recording_loses_its_tags_and_keeps_its_sound(fmt, subtype):
    sent = samples.recording(2.0, fmt, subtype)
    assert samples.PLACE.encode() in sent
    stored = intake.voice(sent).content
    assert samples.PLACE.encode() not in stored
    before, after = (soundfile.read(io.BytesIO(data))[0] for data in (sent, stored))
    assert np.array_equal(before, after)


@pytest.mark.parametrize(("fmt", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS")])
def test_a_recording_over_a_minute_is_refused_by_its_header(fmt, subtype):
    intake.voice(samples.recording(59.0, fmt, subtype, rate_hz=8_000))
    with pytest.raises(TooLarge, match="60 seconds"):
        intake.voice(samples.recording(61.0, fmt, subtype, rate_hz=8_000))


def test_a_photo_over_25_megapixels_is_refused_by_its_header():
    def blank(width: int) -> bytes:
        out = io.BytesIO()
        Image.new("1", (width, 5000)).save(out, "PNG")
        return out.getvalue()

    intake.photo(blank(5000))
    with pytest.raises(TooLarge, match="25 megapixels"):
        intake.photo(blank(5001))


@pytest.mark.parametrize(
    "hostile", [b"PK\x03\x04" + b"\0" * 99, b"GIF89a" + b"\0" * 99, b"%PDF-1.7", b"\0", b"RIFF1234WAVE"]
)
def test_what_is_neither_photo_nor_recording_is_refused(hostile):
    with pytest.raises(intake.UnknownType):
        intake.photo(hostile)
    with pytest.raises(intake.UnknownType):
        intake.voice(hostile)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_no_cut_or_changed_header_brings_the_gate_down():
    """Every truncation of the head, and 600 seeded single-byte changes: refused or stored, never a fault."""
    rng = np.random.default_rng(11)
    outcomes = {"stored": 0, "refused": 0}
    for gate, whole in [
        (intake.photo, samples.photo()),
        (intake.photo, samples.photo("PNG")),
        (intake.photo, samples.photo("WEBP")),
        (intake.voice, samples.recording()),
        (intake.voice, samples.recording(fmt="FLAC")),
        (intake.voice, samples.recording(fmt="OGG", subtype="OPUS")),
    ]:
        changed = []
        for _ in range(100):
            data = bytearray(whole)
            data[rng.integers(0, min(400, len(data)))] = rng.integers(0, 256)
            changed.append(bytes(data))
        for data in [whole[:n] for n in range(1, 60)] + changed:
            try:
                gate(data)
                outcomes["stored"] += 1
            except (intake.UnknownType, TooLarge):
                outcomes["refused"] += 1
    assert outcomes["stored"] > 100
    assert outcomes["refused"] > 100
