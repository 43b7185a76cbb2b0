import io
import signal

import numpy as np
import pytest
import soundfile
from PIL import Image

from emotion import decoder
from emotion.decoder import BrokenFile, Decoder, DecoderCrashed


@pytest.fixture(scope="module")
def child():
    decoder = Decoder()
    yield decoder
    decoder.close()


def png(width: int, height: int, colour: tuple[int, int, int] = (10, 200, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def test_a_photo_comes_back_as_its_pixels(child):
    pixels = child.photo(png(320, 240))
    assert pixels.shape == (240, 320, 3)
    assert (pixels == (10, 200, 30)).all()


def test_a_recording_comes_back_as_its_samples(child):
    samples = np.sin(np.arange(8000) / 20).astype(np.float32) * 0.5
    out = io.BytesIO()
    soundfile.write(out, samples, 8000, format="WAV", subtype="FLOAT")
    heard, rate_hz = child.recording(out.getvalue())
    assert rate_hz == 8000
    assert np.array_equal(heard, samples)


@pytest.mark.parametrize("data", [b"", b"not a picture", png(64, 64)[:60]])
def test_a_broken_photo_is_said_to_be_broken_and_the_child_lives_on(child, data):
    with pytest.raises(BrokenFile):
        child.photo(data)
    pid = child._child.pid
    assert child.photo(png(32, 32)).shape == (32, 32, 3)
    assert child._child.pid == pid


def test_a_file_that_kills_the_child_takes_nothing_else_down(child, monkeypatch):
    child.photo(png(32, 32))
    child._child.kill()
    child._child.wait()
    assert child.photo(png(32, 32)).shape == (32, 32, 3)
    child._child.send_signal(signal.SIGSTOP)  # it lives and never answers
    monkeypatch.setattr(decoder, "PATIENCE_S", 0.2)
    with pytest.raises(DecoderCrashed):
        child.photo(png(32, 32))
    monkeypatch.undo()
    assert child.photo(png(32, 32)).shape == (32, 32, 3)


def test_a_picture_that_would_fill_the_memory_is_refused(child):
    """Thirty thousand pixels square in a small file: 2.7 GB once decoded."""
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 200_000
    with pytest.raises((BrokenFile, DecoderCrashed)):
        child.photo(bomb.getvalue())
    assert child.photo(png(32, 32)).shape == (32, 32, 3)


def test_the_child_holds_none_of_the_workers_secrets(child, monkeypatch):
    monkeypatch.setenv("MASTER_KEY", "secret")
    child.close()
    child.photo(png(32, 32))
    with open(f"/proc/{child._child.pid}/environ", "rb") as environment:
        assert b"MASTER_KEY" not in environment.read()
