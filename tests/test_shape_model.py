from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from dsanon_training.batches import MIRROR
from safetensors.numpy import save_file

from dsanon.align import CROP, apply, face_transform, upright
from dsanon.errors import WeightsError
from dsanon.models import store
from dsanon.models.weights import read_card
from dsanon.plan import Control
from dsanon.shape_model import NAME, ShapeModel, load_shape_model

ONE, OTHER = Control((3,), (1.0,)), Control((90,), (1.0,))


@pytest.fixture(scope="module")
def model() -> ShapeModel:
    """The shipped shapes, for the shipped generator."""
    return load_shape_model(store.path(NAME), read_card(store.SHIPPED / "ciagan-face.safetensors").identities)


def face(model: ShapeModel, opening: float = 0.0, turned: float = 0.0) -> np.ndarray:
    """(68, 2): the mean face, 160 pixels wide, around x = 300.

    opening: how far lower lip and chin hang lower, in pixels · turned: degrees that the head is turned
    """
    p = (model.mean.reshape(68, 2) - (64, 64)) * 1.9
    p[[55, 56, 57, 58, 59, 65, 66, 67], 1] += opening
    p[4:13, 1] += opening * np.sin(np.linspace(0, np.pi, 9))
    depth = 60 * (1 - (p[:, 0] / 90) ** 2)  # of a head: the outline lies far back, the tip of the nose in front
    depth[27:36] += np.r_[0, 7, 14, 20, 8, 9, 10, 9, 8]
    angle = np.deg2rad(turned)
    p[:, 0] = p[:, 0] * np.cos(angle) + depth * np.sin(angle)
    return p + np.array([300, 240])


def flipped(points: np.ndarray) -> np.ndarray:
    return np.stack([600 - points[:, 0], points[:, 1]], axis=1)[MIRROR]


def new(model: ShapeModel, points: np.ndarray, control: Control = ONE) -> np.ndarray:
    return model.replaced(points, face_transform(points), control)


def mouth_opening(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[66] - points[62]) / np.linalg.norm(points[64] - points[60]))


def yaw(points: np.ndarray) -> float:
    """-1 to 1: how much nearer the tip of the nose is to one side of the jaw."""
    left, right = np.linalg.norm(points[30] - points[2]), np.linalg.norm(points[30] - points[14])
    return float((left - right) / (left + right))


def test_the_file_is_listed_as_what_it_is() -> None:
    (row,) = (row for row in store.describe() if row["name"] == NAME)
    assert (row["kind"], row["source"], row["usable"], row["licence"]) == ("shape", "shipped", True, "research only")
    assert "not for commercial use" in row["terms"]


def test_every_identity_has_a_shape_of_its_own_and_none_is_far_from_a_face(model: ShapeModel) -> None:
    own = model.identities.reshape(-1, 68, 2)
    apart = np.linalg.norm(own[:, None] - own[None], axis=-1).mean(axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 0.1  # pixels of the crop; a label or two stands for one person under two names
    assert np.median(apart.min(axis=1)) > 0.3
    assert np.linalg.norm(own, axis=-1).max() < 12
    shapes = [new(model, face(model), Control((i,), (1.0,))) for i in (3, 90)]
    assert np.linalg.norm(shapes[0] - shapes[1], axis=1).mean() > 1
    assert np.linalg.norm(shapes[0] - face(model), axis=1).mean() > 1


def test_pose_and_expression_stay(model: ShapeModel) -> None:
    opened = [mouth_opening(new(model, face(model, opening=o))) for o in (0, 8, 16, 24)]
    assert opened == sorted(opened)
    assert opened[-1] - opened[0] > 0.6 * (mouth_opening(face(model, opening=24)) - mouth_opening(face(model)))
    turned = [yaw(new(model, face(model, turned=t))) for t in (-30, -15, 0, 15, 30)]
    truth = [yaw(face(model, turned=t)) for t in (-30, -15, 0, 15, 30)]
    assert turned == sorted(turned)
    assert abs(turned[2]) < 1e-3
    assert turned[-1] > 0.6 * truth[-1]  # this head is a parabola; real ones are measured below


def test_a_mirrored_face_gets_the_mirrored_shape(model: ShapeModel) -> None:
    crooked = face(model, opening=10, turned=12)
    assert np.abs(flipped(new(model, crooked)) - new(model, flipped(crooked))).max() < 0.05


def test_people_who_differ_by_shape_alone_become_one(model: ShapeModel) -> None:
    mean = model.mean.reshape(68, 2)
    sources = [1.5 * (mean + model.identities[i].reshape(68, 2)) + 40 for i in (7, 70, 120)]
    assert np.linalg.norm(sources[0] - sources[1], axis=1).mean() > 1
    shapes = [apply(upright(source), new(model, source)) for source in sources]
    assert np.abs(shapes[0] - shapes[1:]).max() < 0.2


def test_one_control_vector_is_one_shape_and_a_mix_lies_between(model: ShapeModel) -> None:
    mixed = new(model, face(model), Control((3, 90), (0.25, 0.75)))
    assert np.allclose(mixed, 0.25 * new(model, face(model), ONE) + 0.75 * new(model, face(model), OTHER))
    turned, straight = (upright(p) for p in (face(model, turned=8), face(model)))
    # the difference of two identities is the same in every pose
    a = apply(turned, new(model, face(model, turned=8), ONE)) - apply(turned, new(model, face(model, turned=8), OTHER))
    b = apply(straight, new(model, face(model), ONE)) - apply(straight, new(model, face(model), OTHER))
    assert np.allclose(a, b)


def test_a_turned_or_scaled_photo_turns_and_scales_the_shape(model: ShapeModel) -> None:
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    assert np.allclose(
        new(model, face(model, turned=5)) @ turn.T + 9, new(model, face(model, turned=5) @ turn.T + 9), atol=1e-6
    )


def test_neighbouring_frames_stay_neighbours(model: ShapeModel) -> None:
    rng = np.random.default_rng(0)
    frames = [
        face(model, opening=o, turned=t) for o, t in zip(np.linspace(0, 20, 60), np.linspace(-25, 25, 60), strict=True)
    ]
    shaken = [new(model, frame + rng.normal(0, 0.2, (68, 2))) for frame in frames]
    assert max(np.abs(b - a).max() for a, b in pairwise(shaken)) < 3
    still = np.array([new(model, face(model) + rng.normal(0, 0.2, (68, 2))) for _ in range(50)])
    assert still.std(axis=0).mean() < 0.2  # less than the landmarks' own error


def test_no_pose_is_implausible_and_no_point_leaves_the_crop(model: ShapeModel) -> None:
    rng = np.random.default_rng(1)
    for strength in (5, 40, 400):
        wild = face(model, opening=strength, turned=strength) + rng.normal(0, strength, (68, 2))
        transform = face_transform(wild)
        crop = apply(transform, model.replaced(wild, transform, ONE))
        assert crop.min() >= 1.99
        assert crop.max() <= CROP - 2.99
        far = upright(wild) * 0.2 + np.array([0, 0, 50])  # a crop so wide that nothing is clipped
        there = apply(upright(wild), model.replaced(wild, far, ONE))
        assert np.abs(model.reader @ (there.ravel() - model.mean)).max() <= 5


@pytest.mark.parametrize("landmarks", [np.full((68, 2), np.nan), np.zeros((68, 2))])
def test_what_is_no_face_gets_no_shape(model: ShapeModel, landmarks: np.ndarray) -> None:
    with pytest.raises(ValueError):
        model.replaced(landmarks, face_transform(face(model)), ONE)


@pytest.mark.shared
def test_real_people_keep_their_pose_and_expression_and_cannot_be_told_by_their_shape(
    shared: Path, model: ShapeModel
) -> None:
    """Twelve people of CelebA whom nothing was fitted to, four photos of each."""
    from dsanon_training.exclusions import celeba_partition

    from dsanon.detectors.hog import Hog
    from dsanon.images import decode
    from dsanon.landmarks import Landmarker
    from dsanon.sources import open_source

    root = shared / "data" / "celeba"
    parts, detector, landmarker = celeba_partition(root), Hog(upsample=1), Landmarker(store.path("landmarks68"))
    held_out: dict[str, list[Path]] = {}
    for sample in open_source("celeba", root).samples():
        if parts[Path(sample.file).name] == 2:
            held_out.setdefault(str(sample.people[0].subject), []).append(root / sample.file)
    people = []
    for subject in sorted(held_out)[:12]:
        photos = [decode(path.read_bytes())[0] for path in held_out[subject][:6]]
        seen = [(photo, faces[0].box) for photo in photos if len(faces := detector(photo)) == 1]
        people.append([landmarker(photo, box) for photo, box in seen][:4])
    originals = np.array([points for points in people if len(points) == 4], dtype=np.float64)
    assert len(originals) >= 10
    released = np.stack([[new(model, p, Control((i,), (1.0,))) for p in row] for i, row in enumerate(originals)])

    pairs = list(zip(originals.reshape(-1, 68, 2), released.reshape(-1, 68, 2), strict=True))
    for read, least in ((yaw, 0.97), (mouth_opening, 0.8)):
        before, after = ([read(pair[side]) for pair in pairs] for side in (0, 1))
        assert np.corrcoef(before, after)[0, 1] > least
        assert 0.6 < np.polyfit(before, after, 1)[0] < 1.2

    axes = np.linalg.svd(model.identities, full_matrices=False)[2][:16]

    def own(faces: np.ndarray) -> np.ndarray:
        x = np.stack([apply(upright(p), p).ravel() for p in faces.reshape(-1, 68, 2)]) - model.mean
        return np.asarray((x - x @ (model.motions @ model.reader).T) @ axes.T).reshape(*faces.shape[:2], -1)

    gallery = own(originals)

    def recall(probes: np.ndarray) -> float:
        """Recall@1 of an attacker who knows the model, and of everybody all originals but the probe's."""
        hits = []
        for person, photo in np.ndindex(probes.shape[:2]):
            averages = gallery.mean(axis=1)
            averages[person] = np.delete(gallery[person], photo, axis=0).mean(axis=0)
            hits.append(np.linalg.norm(averages - probes[person, photo], axis=1).argmin() == person)
        return float(np.mean(hits))

    assert recall(gallery) > 3.5 / len(originals)
    assert recall(own(released)) < 2.5 / len(originals)


def test_identities_that_the_file_does_not_know_get_a_shape_by_their_hash() -> None:
    known = read_card(store.SHIPPED / "ciagan-face.safetensors").identities[5]
    model = load_shape_model(store.path(NAME), [known, "a stranger", "another"])
    again = load_shape_model(store.path(NAME), ["another", "a stranger"])
    assert np.array_equal(model.identities[1:], again.identities[::-1])
    sizes = np.sqrt((model.identities**2).sum(axis=1) / 68)
    assert np.abs(model.identities[1] - model.identities[2]).max() > 0.5
    assert (sizes > 0.2).all()
    assert (sizes < 3).all()
    assert np.abs(model.reader @ model.identities.T).max() < 1e-3


def test_a_foreign_file_is_refused(tmp_path: Path, model: ShapeModel) -> None:
    with pytest.raises(WeightsError, match="no face shape model"):
        load_shape_model(store.SHIPPED / "ciagan-face.safetensors", ["a"])
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    cut = tmp_path / "cut.safetensors"
    tensors = {name: getattr(model, name) for name in ("mean", "motions", "reader", "identities")}
    save_file(tensors | {"mean": model.mean[:10]}, cut, metadata={"kind": "shape", "identities": "[]"})
    for path in (tmp_path / "x.safetensors", tmp_path / "missing.safetensors", cut):
        with pytest.raises(WeightsError, match=path.name):
            load_shape_model(path, ["a"])
