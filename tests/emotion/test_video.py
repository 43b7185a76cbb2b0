"""A clip is read frame by frame, and in the decoder's child alone is it taken apart."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion import video
from emotion.__main__ import main
from emotion.decoder import BrokenFile, Decoder
from emotion.face import FaceRecogniser
from emotion.photo import UnusablePhoto
from emotion.video import UnusableVideo

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"


@pytest.fixture(scope="module")
def portrait():
    with Image.open(MEDIA / "astronaut.jpg") as file:
        return np.asarray(file.convert("RGB"))


@pytest.fixture(scope="module")
def recogniser():
    return FaceRecogniser.load()


def test_frames_without_a_face_are_dropped_and_the_others_averaged(portrait, recogniser):
    wall = np.full_like(portrait, 120)
    darker = portrait // 2
    over_the_clip = video.read_frames([portrait, wall, darker], recogniser)
    alone = [recogniser.predict(Image.fromarray(frame)).probabilities for frame in (portrait, darker)]
    assert over_the_clip.probabilities == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    assert over_the_clip.details["frames"] == 3
    assert over_the_clip.details["frames_read"] == 2
    assert over_the_clip.details["dropped"] == {"no_face": 1}
    assert over_the_clip.details["majority"] == "happiness"
    assert over_the_clip.details["votes"] == {"happiness": 2}


def test_a_clip_without_any_face_says_why(portrait, recogniser):
    with pytest.raises(UnusablePhoto) as refusal:
        video.read_frames([np.full_like(portrait, 120), portrait // 12, portrait // 12], recogniser)
    assert refusal.value.code == "too_dark"  # the commonest reason
    with pytest.raises(UnusablePhoto) as refusal:
        video.read_frames([], recogniser)
    assert refusal.value.code == "no_face"


@pytest.mark.parametrize("data", [b"", b"#EXTM3U\nfile:///etc/passwd", b"RIFF____AVI LIST", b"\0" * 64])
def test_only_mp4_and_webm_are_ever_opened(data):
    with pytest.raises(UnusableVideo) as refusal:
        video.container_of(data)
    assert refusal.value.code == "broken_file"


def test_without_a_decoder_it_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    def missing(self, data):
        raise BrokenFile("no_video_decoder")

    monkeypatch.setattr(Decoder, "video", missing)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"")
    assert main(["analyse", "--video", str(clip)]) == 2
    assert "videos need PyAV" in capsys.readouterr().err


def encoded(portrait, seconds=3, rate=5, sound=True):
    """An MP4 of the portrait with ten seconds' worth of a hum, as PyAV writes it."""
    av = pytest.importorskip("av")
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        pictures = container.add_stream("mpeg4", rate=rate)
        pictures.width, pictures.height, pictures.pix_fmt = 256, 256, "yuv420p"
        sounds = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        still = np.asarray(Image.fromarray(portrait).resize((256, 256)))
        for _ in range(seconds * rate):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(still, format="rgb24")))
        container.mux(pictures.encode())
        if sounds:
            hum = 0.3 * np.sin(np.arange(seconds * 16_000) / 12).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(hum, format="flt", layout="mono")
            frame.sample_rate = 16_000
            container.mux(sounds.encode(frame))
            container.mux(sounds.encode())
    return out.getvalue()


def encoded_by_program(portrait, seconds=3):
    """The same by the program `ffmpeg`, for where PyAV is not."""
    program = shutil.which("ffmpeg") or pytest.skip("needs the program ffmpeg")
    still = np.asarray(Image.fromarray(portrait).resize((256, 256))).tobytes()
    pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "256x256", "-r", "5", "-i", "pipe:0"]
    sounds = ["-f", "lavfi", "-t", str(seconds), "-i", "sine=frequency=220:sample_rate=16000"]
    out = ["-c:v", "mpeg4", "-q:v", "3", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "pipe:1"]
    command = [program, "-loglevel", "error", *pictures, *sounds, *out]
    return subprocess.run(command, input=still * 5 * seconds, capture_output=True, check=True).stdout


def test_the_program_gives_the_same_as_the_library_would(portrait):
    clip = video._with_program(encoded_by_program(portrait))
    assert [frame.shape for frame in clip.frames] == [(256, 256, 3)] * 3
    assert clip.samples.size / clip.rate_hz == pytest.approx(3, abs=0.15)
    assert np.abs(clip.frames[0].astype(int) - np.asarray(Image.fromarray(portrait).resize((256, 256)))).mean() < 12


def test_the_program_refuses_what_is_too_long_or_has_no_picture(portrait):
    whole = encoded_by_program(portrait)
    for data, code in ((whole[:300], "no_picture"), (encoded_by_program(portrait, 63), "too_long")):
        with pytest.raises(UnusableVideo) as refusal:
            video._with_program(data)
        assert refusal.value.code == code


@pytest.fixture
def child():
    decoder = Decoder()
    yield decoder
    decoder.close()


def test_one_frame_a_second_and_the_sound_come_back(portrait, child):
    clip = child.video(encoded(portrait))
    assert [frame.shape for frame in clip.frames] == [(256, 256, 3)] * 3
    assert clip.rate_hz == 16_000
    assert clip.samples.size == pytest.approx(48_000, abs=3000)
    assert np.abs(clip.frames[0].astype(int) - np.asarray(Image.fromarray(portrait).resize((256, 256)))).mean() < 12


def test_a_clip_without_sound_has_no_samples(portrait, child):
    assert child.video(encoded(portrait, sound=False)).samples.size == 0


def test_a_clip_of_more_than_a_minute_and_a_cut_off_one_are_refused(portrait, child):
    with pytest.raises(BrokenFile) as refusal:
        child.video(encoded(portrait, seconds=62, rate=1, sound=False))
    assert refusal.value.code == "too_long"
    with pytest.raises(BrokenFile) as refusal:
        child.video(encoded(portrait)[:300])
    assert refusal.value.code == "broken_file"
