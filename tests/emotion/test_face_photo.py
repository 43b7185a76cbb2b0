"""From a photo to an estimate, or to a reason that a person can act on. The photo is a real one."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from emotion import face, photo, torchvision_ops
from emotion.bench import speed
from emotion.bench.pictures import HEAD_AND_SHOULDERS
from emotion.face import FaceRecogniser
from emotion.photo import UnusablePhoto

ROOT = Path(__file__).resolve().parents[2]
ASTRONAUT = ROOT / "fixtures" / "media" / "astronaut.jpg"  # Eileen Collins, smiling; NASA


@pytest.fixture(scope="module")
def recogniser():
    torch.set_num_threads(1)
    return FaceRecogniser.load()


@pytest.fixture(scope="module")
def portrait():
    return Image.open(io.BytesIO(ASTRONAUT.read_bytes())).convert("RGB")


def as_jpeg(picture, **options):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92, **options)
    return file.getvalue()


def refusal(recogniser, picture):
    with pytest.raises(UnusablePhoto) as caught:
        recogniser.predict(picture)
    assert caught.value.message == photo.MESSAGES[caught.value.code]
    return caught.value.code


def test_a_smile_is_read_as_happiness_with_high_quality(recogniser):
    estimate = recogniser.predict(ASTRONAUT.read_bytes())
    assert estimate.emotion == "happiness"
    assert estimate.confidence > 0.8
    assert not estimate.abstained
    assert estimate.quality > 0.9
    assert estimate.valence > 0.5
    assert estimate.model_version.startswith("compact_face-")


@pytest.mark.parametrize(
    ("orientation", "turn"), [(3, Image.ROTATE_180), (6, Image.ROTATE_90), (8, Image.ROTATE_270), (1, None)]
)
def test_a_photo_stored_sideways_is_read_upright(recogniser, portrait, orientation, turn):
    tags = Image.Exif()
    tags[0x0112] = orientation
    stored = portrait if turn is None else portrait.transpose(turn)
    upright = recogniser.predict(as_jpeg(portrait)).probabilities
    assert recogniser.predict(as_jpeg(stored, exif=tags)).probabilities == pytest.approx(upright, abs=0.05)


def test_a_large_photo_is_read_like_a_small_one(recogniser, portrait):
    large = portrait.resize((3072, 3072), Image.Resampling.BICUBIC)
    assert recogniser.predict(as_jpeg(large)).emotion == "happiness"
    assert photo.decode(as_jpeg(large)).size == (768, 768)  # reduced while decoding


def test_two_people_are_refused_unless_the_study_takes_the_largest_face(recogniser, portrait):
    pair = Image.new("RGB", (1024, 512))
    pair.paste(portrait.resize((400, 400)), (60, 60))
    pair.paste(portrait, (512, 0))
    assert refusal(recogniser, pair) == "several_faces"
    assert recogniser.predict(pair, several="largest").emotion == "happiness"


def test_each_unusable_photo_gets_its_own_reason(recogniser, portrait):
    far = Image.new("RGB", (1600, 1600), (90, 120, 90))
    far.paste(portrait.resize((360, 360)), (600, 600))
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3)).astype(np.uint8)
    assert refusal(recogniser, noise) == "no_face"
    assert refusal(recogniser, portrait.point(lambda v: v // 10)) == "too_dark"
    assert refusal(recogniser, portrait.filter(ImageFilter.GaussianBlur(7))) == "blurred"
    assert refusal(recogniser, portrait.filter(ImageFilter.GaussianBlur(20))) == "blurred"  # no face to be found
    assert refusal(recogniser, far) == "too_small"


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (20, 20)])
def test_a_sliver_of_a_picture_holds_no_face(recogniser, size):
    assert refusal(recogniser, Image.new("RGB", size, (200, 180, 160))) == "no_face"


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "gif"])
def test_what_is_not_a_whole_photo_is_a_broken_file(recogniser, portrait, damage):
    gif = io.BytesIO()
    portrait.save(gif, "GIF")
    whole = ASTRONAUT.read_bytes()
    broken = {"truncated": whole[: len(whole) // 2], "text": b"hello", "empty": b"", "gif": gif.getvalue()}
    assert refusal(recogniser, broken[damage]) == "broken_file"


def test_a_picture_of_a_hundred_megapixels_is_refused_from_its_header(recogniser):
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    with pytest.raises(UnusablePhoto) as caught:
        recogniser.predict(bomb.getvalue())
    assert caught.value.code == "broken_file"
    assert "64 megapixels" in caught.value.message


def test_quality_falls_with_blur_and_with_darkness(recogniser, portrait):
    blurred = [recogniser.predict(portrait.filter(ImageFilter.GaussianBlur(r))).quality for r in (0, 2, 3, 4)]
    darker = [recogniser.predict(portrait.point(lambda v, k=k: int(v * k))).quality for k in (1, 0.5, 0.35, 0.25)]
    smaller = [recogniser.predict(portrait.resize((s, s))).quality for s in (512, 300, 200, 130)]
    for qualities in (blurred, darker, smaller):
        assert qualities == sorted(qualities, reverse=True)
        assert qualities[0] > 0.9 > qualities[-1]


def test_quality_falls_as_the_head_turns():
    grey = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    eyes = [(100, 100), (160, 100)]
    turned = [
        photo.judge(grey, 120, np.array([*eyes, (nose, 135), (110, 160), (150, 160)])).pose for nose in (130, 142, 155)
    ]
    assert turned[0] == 1.0
    assert turned == sorted(turned, reverse=True)
    assert turned[-1] < 0.15


def test_dark_skin_is_not_taken_for_a_dark_photo():
    """Half the mean brightness with the same highlights: what counts is light that falls, not the mean."""
    grey = np.full((48, 48), 50, np.uint8)
    grey[::3] = 140  # highlights
    photo.refuse_unreadable(grey, 100)
    assert photo.judge(grey).light == 1.0
    with pytest.raises(UnusablePhoto) as caught:
        photo.refuse_unreadable(grey // 6, 100)
    assert caught.value.code == "too_dark"


def test_crops_are_read_like_the_photos_that_they_come_from(recogniser, portrait):
    [face] = recogniser.detector.find(portrait)
    crop = photo.crop_square(portrait, face.box, 0.96, 160)
    [estimate] = recogniser.predict_crops([crop])
    assert estimate.probabilities == pytest.approx(recogniser.predict(portrait).probabilities, abs=1e-6)
    assert recogniser.predict_crops([]) == []


def test_a_crop_beyond_the_edge_repeats_the_edge():
    picture = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (100, 1, 3)))
    crop = np.asarray(photo.crop_square(picture, np.array([0, 40, 20, 60]), 2.0, 40))
    assert crop.shape == (40, 40, 3)
    assert crop[:, 0].max() == 0  # ten columns left of the picture repeat its first
    assert crop[20, 39, 0] == 29


def test_suppression_keeps_the_best_of_overlapping_boxes_of_a_group():
    boxes = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 5]]).float()
    scores = torch.tensor([0.8, 0.9, 0.7, 0.6, 0.5])
    groups = torch.tensor([0, 0, 1, 0, 0])
    # IoU: boxes 0 and 1 share 90 of 110; box 4 shares 45 of 105 with box 1
    assert torchvision_ops.batched_nms(boxes, scores, groups, 0.5).tolist() == [1, 2, 3, 4]
    assert torchvision_ops.batched_nms(boxes, scores, groups, 0.4).tolist() == [1, 2, 3]
    assert torchvision_ops.batched_nms(boxes, scores, groups, 0.9).tolist() == [1, 0, 2, 3, 4]
    assert torchvision_ops.batched_nms(boxes[:0], scores[:0], groups[:0], 0.5).tolist() == []


def run_python(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::DeprecationWarning:emotion", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_a_forked_child_that_loads_the_model_itself_can_read_a_photo():
    code = f"""
import os
from emotion import face, photo            # the parent imports, but computes nothing
pid = os.fork()
if pid == 0:
    estimate = face.FaceRecogniser.load().predict(open({str(ASTRONAUT)!r}, "rb").read())
    os._exit(0 if estimate.emotion == "happiness" else 3)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_the_package_needs_no_django_and_decoding_needs_no_torch():
    code = """
import sys
import emotion, emotion.photo
assert "torch" not in sys.modules
import emotion.face, emotion.evaluate, emotion.analyse, emotion.training, emotion.__main__
assert not [name for name in sys.modules if name.split(".")[0] in ("django", "mhealth", "celery")]
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_a_decoded_photo_remembers_how_far_it_was_reduced():
    photo_of_12_megapixels, small = (as_jpeg(Image.new("RGB", size)) for size in ((4000, 3000), (800, 600)))

    assert photo.decode(photo_of_12_megapixels).size == (1000, 750)
    assert photo.reduction(photo.decode(photo_of_12_megapixels)) == 4
    assert photo.reduction(photo.decode(small)) == 1
    assert photo.reduction(Image.new("RGB", (9, 9))) == 1  # never decoded


@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0, 1.37])
def test_a_reduced_photo_is_searched_on_the_scales_of_the_whole_one(factor):
    """The whole photo is visited at faces of 20, 20 / .709, 20 / .709² … pixels."""
    size = face.on_usual_scale(90.0, factor)
    steps = np.log(size * factor / 20) / np.log(1 / 0.709)

    assert steps == pytest.approx(round(steps), abs=1e-9)
    assert size <= 90 < size / 0.709


def test_a_photo_reduced_while_decoding_gives_the_box_of_the_whole_one(recogniser, portrait):
    picture = Image.new("RGB", (1600, 1600), (90, 110, 120))
    picture.paste(portrait.crop(HEAD_AND_SHOULDERS).resize((1300, 1300)), (150, 200))
    decoded = photo.decode(as_jpeg(picture))
    [found] = recogniser.detector.find(decoded)

    whole, _ = speed.stock_detector().detect(picture)
    assert decoded.size == (800, 800)
    assert speed.overlap(2 * found.box, np.array(whole[0], float)) > 0.95
