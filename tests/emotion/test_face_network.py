"""The network, its inputs, its checkpoint, and the data that it learns from."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from emotion import checkpoint
from emotion.data import fer2013
from emotion.data.clips import DataMissing
from emotion.estimate import EMOTIONS
from emotion.face_training import Recipe, augment, draw_balanced, draw_batches
from emotion.networks.compact_face import CompactFace, standardise


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CompactFace().eval()


def test_the_network_has_1_931_527_parameters(network):
    assert sum(p.numel() for p in network.parameters()) == 1_931_527


def test_brightness_and_contrast_of_a_photo_do_not_change_what_is_read(network):
    faces = torch.rand(2, 1, 48, 48) * 0.5 + 0.25
    with torch.no_grad():
        assert torch.allclose(network(faces), network(faces * 0.4 + 0.1), atol=1e-4)
        assert not torch.allclose(network(faces), network(faces.flip(2)), atol=1e-4)


def test_standardising_gives_mean_0_and_variance_1_and_a_flat_picture_gives_zeros():
    ready = standardise(torch.rand(3, 1, 48, 48))
    assert torch.allclose(ready.mean((2, 3)), torch.zeros(3, 1), atol=1e-5)
    assert torch.allclose(ready.var((2, 3), correction=0), torch.ones(3, 1), atol=1e-4)
    assert standardise(torch.full((1, 1, 48, 48), 0.7)).abs().max() < 1e-4


def test_a_checkpoint_comes_back_as_it_was_stored(network, tmp_path):
    path = tmp_path / "face.safetensors"
    card = checkpoint.save(path, network.state_dict(), {"network": "compact_face"})
    weights, read = checkpoint.load(path)
    assert read == card
    assert read["bytes"] == path.stat().st_size < 5_000_000
    for name, value in checkpoint.as_stored(network.state_dict()).items():
        assert torch.equal(weights[name], value), name
    assert torch.allclose(weights["head.weight"], network.head.weight, atol=1e-3)


def test_a_changed_byte_is_refused_and_the_untouched_file_is_taken(network, tmp_path):
    path = tmp_path / "face.safetensors"
    checkpoint.save(path, network.state_dict(), {"network": "compact_face"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(checkpoint.BadCheckpoint, match="SHA-256"):
        checkpoint.load(path)
    path.write_bytes(whole)
    assert checkpoint.load(path)[1]["network"] == "compact_face"


def test_a_missing_checkpoint_is_no_model_and_another_format_is_bad(network, tmp_path):
    path = tmp_path / "face.safetensors"
    with pytest.raises(checkpoint.NoModel):
        checkpoint.load(path)
    card = checkpoint.save(path, network.state_dict(), {})
    path.with_suffix(".json").write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(checkpoint.BadCheckpoint, match="format 99"):
        checkpoint.load(path)


def test_the_shipped_card_tells_licence_split_test_opening_and_what_was_not_measured():
    weights, card = checkpoint.load(checkpoint.default_path("face"))
    assert sum(v.numel() for name, v in weights.items() if "running" not in name and "num_" not in name) == 1_931_527
    assert card["bytes"] < 10_000_000
    assert card["non_commercial"] is True
    assert "FER2013" in card["licence"]
    assert any("skin tone" in group for group in card["not_measured"])
    [opening] = [o for o in card["openings"] if o["sha256"] == card["sha256"]]
    assert opening["original_labels"]["n"] == 3589
    assert opening["original_labels"]["accuracy"] >= 0.62
    assert 0 < card["abstention"]["threshold"] < 1
    risks = [row["risk"] for row in card["abstention"]["risk_coverage_validation"]]
    assert risks[0] > risks[5] > risks[-1]


def faces(images, labels, votes=None):
    n = len(images)
    votes = np.zeros((n, 7), int) if votes is None else votes
    return fer2013.Faces(np.asarray(images), np.asarray(labels), votes, np.zeros(n, int), np.arange(n))


@pytest.fixture
def pictures(rng):
    smooth = np.repeat(np.repeat(rng.integers(0, 256, (6, 12, 12)), 4, axis=1), 4, axis=2)
    return smooth.astype(np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_copies_darker_copies_and_mirrored_copies_share_a_group_and_strangers_do_not(pictures):
    darker = (pictures[0] * 0.6).astype(np.uint8)
    groups = fer2013.duplicate_groups(np.stack([*pictures, pictures[0], darker, pictures[0][:, ::-1]]))
    assert set(groups[[6, 7, 8]]) == {groups[0]}
    assert len(set(groups[:6])) == 6


def test_whole_groups_go_to_validation(rng):
    groups = np.repeat(np.arange(100), rng.integers(1, 5, 100))
    held_out = fer2013.draw_validation(groups)
    assert set(groups[held_out]).isdisjoint(groups[~held_out])
    assert 0.1 <= held_out.mean() < 0.12


def test_pictures_seen_in_training_are_recognised_mirrored_or_not(pictures):
    seen = fer2013.seen_before(np.stack([pictures[1][:, ::-1], pictures[5]]), pictures[:3])
    assert seen.tolist() == [True, False]


def test_soft_labels_mix_the_original_label_with_the_raters(pictures):
    votes = np.zeros((2, 7), int)
    votes[0, EMOTIONS.index("fear")] = 3
    votes[0, EMOTIONS.index("surprise")] = 1
    votes[1, EMOTIONS.index("neutral")] = 2  # fewer than three usable votes: only the original label counts
    fear, anger = EMOTIONS.index("fear"), EMOTIONS.index("anger")
    soft = fer2013.soft_labels(faces(pictures[:2], [fear, anger], votes), original=0.7)
    assert soft[0, fear] == pytest.approx(0.7 + 0.3 * 0.75)
    assert soft[0, EMOTIONS.index("surprise")] == pytest.approx(0.3 * 0.25)
    assert soft[1].tolist() == np.eye(7)[anger].tolist()


def test_a_grid_on_disk_is_read_in_the_order_of_its_table(tmp_path, rng):
    images = rng.integers(0, 256, (5, 48, 48)).astype(np.uint8)
    write_fer2013(tmp_path, images, labels=[0, 3, 6, 4, 2])
    train, public = fer2013.load(tmp_path, "train"), fer2013.load(tmp_path, "public")
    assert np.array_equal(train.images, images)
    assert [EMOTIONS[i] for i in train.labels] == ["anger", "happiness", "neutral", "sadness", "fear"]
    assert np.array_equal(public.images, images)
    assert train.votes[0, EMOTIONS.index("happiness")] == 7
    assert train.no_face[0] == 2


def test_an_empty_folder_is_said_to_hold_no_data(tmp_path):
    with pytest.raises(DataMissing, match="holds no FER2013"):
        fer2013.load(tmp_path, "train")


def write_fer2013(folder, images, labels):
    """A tiny data set in the layout of the real one: the same faces as training part and public test."""
    n = len(images)
    grid = np.concatenate(list(images), axis=1)
    for part in ("train", "public"):
        Image.fromarray(grid).convert("RGB").save(folder / f"{part}_1x{n}_n{n}.webp", lossless=True)
    votes = np.zeros((2 * n, 10), np.uint8)
    votes[:, 1], votes[:, 9] = 7, 2
    np.savez(
        folder / "meta.npz",
        label=np.tile(np.array(labels, np.uint8), 2),
        usage=np.repeat(np.array([0, 1], np.uint8), n),
        usage_names=np.array(["Training", "PublicTest", "PrivateTest"]),
        label_names=np.array(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]),
        ferplus_votes=votes,
        ferplus_names=np.array(
            ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
        ),
    )


def test_rare_classes_are_drawn_oftener_but_the_epoch_keeps_its_length(rng):
    labels = np.repeat([0, 1], [160, 10])
    drawn = np.bincount(labels[draw_balanced(labels, 0.25, rng)])
    # weights 160^-1/4 and 10^-1/4: the rare class comes 16^(1/4) = 2 times as often per picture
    assert drawn.sum() == 170
    assert drawn[1] == pytest.approx(170 * 20 / 180, abs=1)
    assert np.bincount(labels[draw_balanced(labels, 0.0, rng)]).tolist() == [160, 10]


def test_augmentation_is_repeated_by_its_seed_and_keeps_grey_values_in_range():
    images = torch.rand(8, 1, 48, 48)
    first = augment(images.clone(), 44, np.random.default_rng(1))
    again = augment(images.clone(), 44, np.random.default_rng(1))
    other = augment(images.clone(), 44, np.random.default_rng(2))
    assert first.shape == (8, 1, 44, 44)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_every_batch_carries_distributions(pictures, rng):
    [(images, targets)] = draw_batches(faces(pictures, [0, 1, 2, 3, 4, 5]), Recipe(), rng)
    assert images.shape == (6, 1, 44, 44)
    assert torch.allclose(targets.sum(1), torch.ones(6))


def test_facenet_takes_only_the_file_that_was_named(tmp_path):
    from hashlib import sha256

    from emotion.networks.facenet_head import FaceNetHead

    torch.manual_seed(1)
    source, other = FaceNetHead().eval(), FaceNetHead().eval()
    path = tmp_path / "vggface2.pt"
    torch.save({**source.backbone.state_dict(), "logits.weight": torch.zeros(3, 512)}, path)
    with pytest.raises(checkpoint.BadCheckpoint):
        other.load_backbone(path, "0" * 64)
    with pytest.raises(checkpoint.NoModel):
        other.load_backbone(tmp_path / "absent.pt", "0" * 64)
    picture = torch.rand(1, 3, 160, 160)
    with torch.no_grad():
        before = other.embed(picture)
        other.load_backbone(path, sha256(path.read_bytes()).hexdigest())
        assert torch.equal(other.embed(picture), source.embed(picture))
        assert not torch.equal(before, source.embed(picture))
        assert source.embed(picture).norm() == pytest.approx(1.0, abs=1e-5)
