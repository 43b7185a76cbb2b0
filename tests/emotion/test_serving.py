"""What is served without torch reads like what was trained with it."""

import copy
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from emotion import checkpoint, photo
from emotion.__main__ import main
from emotion.face import FaceRecogniser
from emotion.serving import export, graphs, runtime
from emotion.serving.mtcnn import NETS, Mtcnn, RunningSums, edges, net_path, suppress
from emotion.voice import VoiceRecogniser

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT / "fixtures" / "media"
NETWORKS = {"face": "compact_face", "voice": "compact_voice"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def portrait():
    return Image.open(io.BytesIO((MEDIA / "astronaut.jpg").read_bytes())).convert("RGB")


@pytest.fixture(scope="module")
def detector():
    return Mtcnn()


@pytest.fixture(scope="module")
def oracle():
    """facenet-pytorch's own detector."""
    from emotion import torchvision_ops

    torchvision_ops.ensure()
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True, select_largest=True)


@pytest.mark.parametrize("modality", ["face", "voice"])
def test_the_shipped_graph_belongs_to_the_shipped_weights(modality):
    """Fails where a checkpoint was replaced and `python -m emotion export` forgotten."""
    path = checkpoint.default_path(modality)
    network = runtime.exported(path, checkpoint.verify(path))
    assert network.metadata["network"] == NETWORKS[modality]


@pytest.mark.parametrize("modality", ["face", "voice"])
def test_onnx_and_torch_agree_to_a_ten_thousandth(modality):
    path = checkpoint.default_path(modality)
    served, _ = runtime.load(path, NETWORKS[modality], "onnx")
    trained, _ = runtime.load(path, NETWORKS[modality], "torch")
    rng = np.random.default_rng(0)
    for count in (1, 3):
        given = graphs.GRAPHS[NETWORKS[modality]].example(rng, count)
        for ours, theirs in zip(served(*given), trained(*given), strict=True):
            assert ours.shape[0] == count
            assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize(
    ("recogniser", "sample"), [(FaceRecogniser, "astronaut.jpg"), (VoiceRecogniser, "librivox.wav")]
)
def test_a_photo_and_a_recording_are_read_alike_by_both(recogniser, sample):
    data = (MEDIA / sample).read_bytes()
    served, trained = (recogniser.load(engine=engine).predict(data) for engine in ("onnx", "torch"))
    assert np.abs(served.probabilities - trained.probabilities).max() < 1e-4


@pytest.mark.parametrize("name", NETS)
def test_each_net_of_the_detector_is_the_one_in_facenet_pytorch(oracle, name):
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 3, NETS[name][1], NETS[name][1])).astype(np.float32)
    served = runtime.OnnxNetwork(net_path(name))
    assert served.metadata["source_sha256"] == export.source_sha256(name)
    net = copy.deepcopy(getattr(oracle, name))
    if name == "onet":
        net.load_state_dict(checkpoint.as_stored(net.state_dict()))  # in 16 bits
    with torch.no_grad():
        expected = net(torch.from_numpy(pixels))
    if name == "pnet":  # its pictures come one by one
        answers = [np.concatenate(parts) for parts in zip(*(served(one[None]) for one in pixels), strict=True)]
    else:
        answers = served(pixels)
    for ours, theirs in zip(answers, expected, strict=True):
        assert np.abs(ours - theirs.numpy()).max() < 1e-4


def scene(portrait, size, faces):
    """A picture with the portrait pasted at (side, left, top, degrees)."""
    picture = Image.new("RGB", size, (96, 104, 112))
    for side, left, top, degrees in faces:
        picture.paste(portrait.rotate(degrees).resize((side, side)), (left, top))
    return picture


SCENES = {
    "alone": ((512, 512), [(512, 0, 0, 0)]),
    "tall": ((360, 480), [(360, 0, 40, 8)]),
    "two": ((640, 480), [(300, 10, 20, 0), (330, 310, 130, -10)]),
    "cut off": ((480, 480), [(480, 190, -40, 0)]),
    "small": ((640, 480), [(240, 300, 100, 12)]),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("smallest", [30, 60])
def test_the_detector_finds_what_facenet_pytorch_finds(portrait, oracle, detector, name, smallest):
    picture = scene(portrait, *SCENES[name])
    oracle.min_face_size = smallest
    boxes, probabilities, landmarks = oracle.detect(picture, landmarks=True)
    found = detector.detect(np.asarray(picture), smallest)
    assert len(boxes) >= (2 if name == "two" else 1)
    assert np.abs(found.boxes - boxes.astype(float)).max() < 0.1
    assert np.abs(found.probabilities - probabilities.astype(float)).max() < 1e-3
    assert np.abs(found.landmarks - landmarks.astype(float)).max() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (3, 300), (300, 3), (12, 12), (200, 200)])
def test_where_there_is_no_face_nothing_is_found(detector, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert len(detector.detect(noise, 20).boxes) == 0


def test_running_sums_average_as_adaptive_pooling_does():
    picture = np.random.default_rng(0).integers(0, 256, (53, 71, 3)).astype(np.uint8)
    sums = RunningSums(picture)
    for box, size in (((0, 0, 71, 53), (20, 31)), ((5, 9, 40, 33), (24, 24)), ((60, 40, 71, 53), (48, 48))):
        x1, y1, x2, y2 = box
        part = torch.from_numpy(picture[y1:y2, x1:x2].copy()).float().permute(2, 0, 1)[None]
        expected = torch.nn.functional.interpolate(part, size=size, mode="area")[0].permute(1, 2, 0).numpy()
        assert sums.average(np.array([box]), size)[0] == pytest.approx(expected, abs=1e-3)
    assert [e.tolist() for e in edges(np.array([2]), np.array([7]), 2)] == [[[2, 4]], [[5, 7]]]


def test_suppression_keeps_the_best_of_overlapping_boxes():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 10, 5]], float)
    scores = np.array([0.8, 0.9, 0.6, 0.5])
    # IoU: boxes 0 and 1 share 90 of 110; box 3 shares 45 of 105 with box 1, and 60 of its 66 with one pixel more
    assert suppress(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, 0.4).tolist() == [1, 2]
    assert suppress(boxes, scores, 0.9).tolist() == [1, 0, 2, 3]
    assert suppress(boxes, scores, 0.95, within_smaller=True).tolist() == [1, 0, 2]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.fixture
def own_copy(tmp_path):
    """The shipped face checkpoint in a folder of its own, with its graph."""
    for suffix in (".safetensors", ".json", ".onnx"):
        source = checkpoint.default_path("face").with_suffix(suffix)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    return tmp_path / "face.safetensors"


def test_a_graph_of_other_weights_is_not_served(own_copy):
    assert FaceRecogniser.load(own_copy, engine="onnx").network.engine == "onnx"
    weights, card = checkpoint.load(own_copy)
    checkpoint.save(own_copy, {**weights, "head.bias": weights["head.bias"] + 1}, card)
    with pytest.raises(runtime.NotExported, match="made from other weights"):
        FaceRecogniser.load(own_copy, engine="onnx")
    assert FaceRecogniser.load(own_copy).network.engine == "torch"  # right, if slower, until it is exported anew
    assert main(["export", "face", "--model", str(own_copy)]) == 0
    assert FaceRecogniser.load(own_copy).network.engine == "onnx"


def test_without_torch_a_missing_graph_is_said_in_one_line(own_copy, monkeypatch):
    own_copy.with_suffix(".onnx").unlink()
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(checkpoint.BadCheckpoint, match="python -m emotion export"):
        FaceRecogniser.load(own_copy)


def test_a_broken_graph_is_not_served(own_copy):
    own_copy.with_suffix(".onnx").write_bytes(b"not a graph")
    with pytest.raises(runtime.NotExported, match="does not fit"):
        FaceRecogniser.load(own_copy, engine="onnx")


def test_an_export_of_the_same_weights_is_the_same_file(own_copy):
    before = own_copy.with_suffix(".onnx").read_bytes()
    assert export.export(own_copy).read_bytes() == before


def run_python(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr


def test_reading_a_check_in_from_the_command_line_imports_no_torch():
    run_python(f"""
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "facenet_pytorch", "librosa", "sklearn", "onnx", "rich"):
            raise ImportError(name)

sys.meta_path.insert(0, NotInstalled())
from emotion.__main__ import main
assert main(["analyse", "--face", {str(MEDIA / "astronaut.jpg")!r}, "--voice", {str(MEDIA / "librivox.wav")!r}]) == 0
""")


def test_a_child_forked_from_a_process_that_has_read_can_read():
    run_python(f"""
import os
from emotion.face import FaceRecogniser
from emotion.voice import VoiceRecogniser
readers = [(FaceRecogniser.load(engine="onnx"), open({str(MEDIA / "astronaut.jpg")!r}, "rb").read()),
           (VoiceRecogniser.load(engine="onnx"), open({str(MEDIA / "librivox.wav")!r}, "rb").read())]
before = [reader.predict(data).probabilities for reader, data in readers]
pid = os.fork()
if pid == 0:
    after = [reader.predict(data).probabilities for reader, data in readers]
    os._exit(0 if all((one == other).all() for one, other in zip(before, after)) else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")


def test_crops_read_together_are_read_like_each_alone(portrait):
    recogniser = FaceRecogniser.load(engine="onnx")
    crops = [np.asarray(portrait.resize((48, 48)).rotate(turn)) for turn in (0, 10, 20)]
    together = recogniser.predict_crops(crops)
    for crop, estimate in zip(crops, together, strict=True):
        [alone] = recogniser.predict_crops([crop])
        assert alone.probabilities == pytest.approx(estimate.probabilities, abs=1e-5)
    assert photo.to_grey(crops[0]).shape == (48, 48)


def test_the_floor_of_a_spectrum_is_the_networks_own():
    from emotion import features
    from emotion.networks import compact_voice

    assert features.FLOOR_DB == compact_voice.FLOOR_DB
