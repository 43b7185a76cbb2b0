"""The face bench: subjects stay together, the peers' features are right, and what is transferred is counted fairly."""

import numpy as np
import pytest
from PIL import Image

from emotion.bench import face, face_methods, fer_package
from emotion.data import ckplus
from emotion.data.clips import DataMissing
from emotion.data.fer2013 import Faces
from emotion.estimate import EMOTIONS


@pytest.fixture
def data(tmp_path):
    """CK+ in small: 10 subjects; the emotion is the direction of stripes, and each subject has a light of their own."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:48, :48]
    for subject in range(10):
        for label, name in enumerate(ckplus.CLASSES):
            angle = np.pi * label / len(ckplus.CLASSES)
            stripes = np.sin((across * np.cos(angle) + down * np.sin(angle)) * 0.9)
            folder = tmp_path / "ckplus48" / {"happiness": "happy"}.get(name, name)
            folder.mkdir(parents=True, exist_ok=True)
            for frame in (1, 2):
                picture = 110 + 5 * subject + 60 * stripes + rng.normal(0, 8, (48, 48))
                Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(
                    folder / f"S{subject:03d}_001_{frame}.png"
                )
    return tmp_path


def test_labels_and_subjects_come_from_folders_and_names(data):
    images, labels, people = ckplus.load(data / "ckplus48")

    assert images.shape == (10 * 7 * 2, 48, 48)
    assert len(set(people)) == 10
    assert np.bincount(labels).tolist() == [20] * 7
    served = ckplus.served(labels)
    assert (served == -1).sum() == 20  # contempt
    assert {EMOTIONS[c] for c in served if c >= 0} == set(EMOTIONS) - {"neutral"}


def test_missing_data_are_named(tmp_path):
    with pytest.raises(DataMissing, match=r"CK\+"):
        ckplus.load(tmp_path)


def test_hog_tells_directions_of_people_it_never_saw(data):
    found = face.by_subject("hog_svm", data)

    assert found["people"] == 10
    assert found["uar"] > 0.9


def test_hog_counts_each_edge_in_the_bin_of_its_direction():
    """A vertical edge has a horizontal gradient: all in the bins around 0; turned by 90°, in the middle ones."""
    upright = np.zeros((1, 48, 48), np.uint8)
    upright[:, :, 24:] = 200
    first = face_methods.hog(upright).reshape(-1, 9).sum(0)
    turned = face_methods.hog(upright.transpose(0, 2, 1).copy()).reshape(-1, 9).sum(0)

    assert first[[0, 8]].sum() == pytest.approx(first.sum(), rel=1e-5)
    assert turned[4] == pytest.approx(turned.sum(), rel=1e-5)


def test_hog_does_not_change_with_brightness_and_has_900_numbers():
    faces = np.random.default_rng(0).integers(0, 120, (3, 48, 48)).astype(np.uint8)

    assert face_methods.hog(faces).shape == (3, 900)
    assert face_methods.hog(faces) == pytest.approx(face_methods.hog(faces * 2), abs=1e-3)


def test_contempt_is_left_out_and_neutral_is_wrong_where_nobody_is_neutral(data):
    images, labels, _ = ckplus.load(data / "ckplus48")
    served = ckplus.served(labels)
    truth = {image.tobytes(): label for image, label in zip(images, served, strict=True)}

    def always_right(asked):
        return 9.0 * np.eye(7)[[truth[image.tobytes()] for image in asked]]

    def says_neutral_first(asked):
        return always_right(asked) + 20.0 * np.eye(7)[EMOTIONS.index("neutral")]

    assert face.transferred(always_right, data)["n"] == 10 * 6 * 2
    assert face.transferred(always_right, data)["uar"] == 1
    neutral = face.transferred(says_neutral_first, data)
    assert neutral["uar"] == 0
    assert neutral["uar_among_the_six"] == 1


def test_the_tables_show_what_was_run_and_how_much_is_missing(data):
    line = {"bench": "E4", "method": "hog_svm", "data": "ckplus by subject", "seed": 0}
    text = face.report([{**line, "n": 168, "accuracy": 0.5, "uar": 0.25, "uar_interval_95": [0.2, 0.3]}], 7, data)

    assert "1 of 7 cells" in text
    assert "| `hog_svm` | 168 | 50.0 | 25.0 | 20.0 to 30.0 |" in text


def test_a_peer_gets_as_many_rounds_as_the_budget_buys_and_keeps_them_when_resumed(tmp_path, monkeypatch):
    import torch

    network = torch.nn.Linear(2, 2)
    clock = iter(range(0, 100, 2))  # every step costs two seconds
    monkeypatch.setattr(face_methods.time, "process_time", lambda: float(next(clock)))

    def rounds():
        return face_methods._rounds(
            network, lambda net, batch: net(batch[0]).sum(), (torch.rand(4, 2),), tmp_path / "s"
        )

    assert rounds() == 600 // (2 * face_methods.ROUND_STEPS)
    monkeypatch.setattr(face_methods, "BUDGET_CPU_S", 6000.0)
    assert rounds() == 600 // (2 * face_methods.ROUND_STEPS)


def test_the_svm_is_the_one_that_liblinear_finds():
    import torch
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(300, 12)).astype(np.float32)
    labels = (inputs @ rng.normal(size=(12, 3)) + rng.normal(size=(300, 3)) + [1, 0, -1]).argmax(1)
    coef, intercept = face_methods.linear_svm(torch.from_numpy(inputs), torch.from_numpy(labels), 0.03)
    theirs = LinearSVC(C=0.03, class_weight="balanced", dual=False, tol=1e-8).fit(inputs, labels)

    assert coef.numpy() == pytest.approx(theirs.coef_, abs=1e-3)
    assert intercept.numpy() == pytest.approx(theirs.intercept_, abs=1e-3)


def test_a_fitted_peer_answers_the_same_when_read_again(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(140) % 7
    images = (rng.integers(0, 60, (140, 48, 48)) + 25 * labels[:, None, None]).astype(np.uint8)
    faces = Faces(images, labels, np.eye(7, dtype=int)[labels] * 10, np.zeros(140, int), np.arange(140))
    monkeypatch.setattr(face_methods, "BUDGET_CPU_S", 0.1)
    monkeypatch.setattr(face_methods, "ROUND_STEPS", 1)
    for method in ("hog_svm", "cnn112"):
        answer, _ = face_methods.METHODS[method](faces, faces, tmp_path / method, 0)

        again = face_methods.read_fitted(method, tmp_path / method)
        assert again(images[:20]) == pytest.approx(answer(images[:20]), abs=1e-5)


def test_the_package_s_pooling_pads_as_tensorflow_does():
    """An even side is padded by one at its end only, an odd one on both ends."""
    import torch

    row = torch.arange(6.0).expand(1, 1, 6, 6)
    assert fer_package.pooled(row)[0, 0, 0].tolist() == [2, 4, 5]
    row = torch.arange(5.0).expand(1, 1, 5, 5)
    assert fer_package.pooled(row)[0, 0, 0].tolist() == [1, 3, 4]


def test_the_package_s_pictures_are_whole_grey_values_from_minus_one_to_one():
    import torch

    faces = torch.zeros(1, 1, 48, 48)
    faces[..., 24:] = 255
    ready = fer_package.prepared(faces)

    assert ready.shape == (1, 1, 64, 64)
    assert (ready.min(), ready.max()) == (-1, 1)
    grey = (ready + 1) * 127.5
    assert (grey - grey.round()).abs().max() < 1e-3


def test_peers_that_were_fitted_on_fer2013_stand_in_the_table_of_ckplus(data):
    figures = {"n": 9, "accuracy": 0.5, "uar": 0.25}
    ours = {"bench": "E4", "method": "compact_face", "data": "fer2013 to ckplus", "seed": 0}
    ours |= {"ckplus": {**figures, "uar_interval_95": [0.2, 0.3]}}
    peer = {"bench": "E4", "method": "fer_package", "data": "fer2013", "seed": 0, "ckplus": ours["ckplus"]}
    peer |= {"validation": figures, "public": {}, "settings": {"seen": "learned the tenth"}}
    text = face.report([ours, peer], 8, data)

    assert "| `fer_package` | 9 | 50.0 | 25.0 | 20.0 to 30.0 |" in text
    assert "`fer_package`: learned the tenth." in text
