"""The shape model on drawn people whose own shape, pose and expression are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dsanon_training.crops import Crops, Pixels
from dsanon_training.face_shape import Fit, export, fit, fit_crops
from faces import drawn_landmarks

from dsanon.align import apply, face_transform, upright
from dsanon.plan import Control
from dsanon.shape_model import load_shape_model

PEOPLE, PHOTOS = 40, 6


def drawn(jaw: float, nose: float, opening: float, turned: float) -> np.ndarray:
    """(68, 2): jaw, nose are a person's own; opening and turned are the moment's."""
    p = drawn_landmarks(0, 0, 100).astype(np.float64)
    p[:17, 0] *= 1 + jaw
    p[27:36, 1] += 100 * nose * np.linspace(0.2, 1, 9)
    p[[55, 56, 57, 58, 59, 65, 66, 67, 6, 7, 8, 9, 10], 1] += 100 * opening
    p[27:36, 0] += 100 * turned
    p[:17, 0] -= 60 * turned
    return p


@pytest.fixture(scope="module")
def population() -> tuple[np.ndarray, list[str], np.ndarray]:
    """Landmarks, labels, and what was drawn: jaw, nose, opening, turned."""
    rng = np.random.default_rng(0)
    own = rng.normal(0, (0.06, 0.04), (PEOPLE, 2)).repeat(PHOTOS, axis=0)
    moment = rng.normal(0, (0.06, 0.08), (PEOPLE * PHOTOS, 2))
    drawn_as = np.hstack([own, moment])
    faces = np.stack([drawn(*row) for row in drawn_as]) + rng.normal(0, 0.15, (len(own), 68, 2))
    labels = [f"x/{number:02d}" for number in range(PEOPLE) for _ in range(PHOTOS)]
    return faces, labels, drawn_as


@pytest.fixture(scope="module")
def fitted(population: tuple[np.ndarray, list[str], np.ndarray]) -> Fit:
    return fit(population[0], population[1], motions=2)


def test_what_moves_is_read_and_what_is_somebodys_own_is_not(
    population: tuple[np.ndarray, list[str], np.ndarray], fitted: Fit
) -> None:
    faces, _, drawn_as = population
    read = (np.stack([apply(upright(p), p) for p in faces]).reshape(-1, 136) - fitted.mean) @ fitted.reader.T
    related = np.abs(np.corrcoef(read.T, drawn_as.T)[:2, 2:])  # motions × jaw, nose, opening, turned
    assert (related[:, 2:].max(axis=0) > 0.97).all()
    assert related[:, :2].max() < 0.25


def test_the_shapes_of_people_are_theirs(population: tuple[np.ndarray, list[str], np.ndarray], fitted: Fit) -> None:
    jaw = fitted.identities.reshape(-1, 68, 2)[:, 16, 0] - fitted.identities.reshape(-1, 68, 2)[:, 0, 0]
    assert np.corrcoef(jaw, population[2][::PHOTOS, 0])[0, 1] > 0.95
    assert fitted.labels == sorted(set(population[1]))
    assert np.abs(fitted.reader @ fitted.identities.T).max() < 1e-6
    assert np.allclose(fitted.reader @ fitted.motions, np.eye(2))


def test_an_attacker_by_outlines_is_back_to_chance(
    tmp_path: Path, population: tuple[np.ndarray, list[str], np.ndarray], fitted: Fit
) -> None:
    faces = population[0]
    path = tmp_path / "shape.safetensors"
    export(path, fitted, len(faces))
    known = load_shape_model(path, [f"fake {number}" for number in range(300)])
    rng = np.random.default_rng(2)
    fakes = [Control((int(n),), (1.0,)) for n in rng.permutation(300)[:PEOPLE].repeat(PHOTOS)]
    new = np.stack([known.replaced(p, face_transform(p), c) for p, c in zip(faces, fakes, strict=True)])

    def found(probes: np.ndarray) -> float:
        """Recall@1 of outlines without what moves, in a gallery of originals."""

        def own(points: np.ndarray) -> np.ndarray:
            x = np.stack([apply(upright(p), p) for p in points]).reshape(-1, 136) - fitted.mean
            return np.asarray(x - x @ (fitted.motions @ fitted.reader).T)

        gallery, probe = own(faces[::PHOTOS]), own(probes[1::PHOTOS])
        return float((np.linalg.norm(probe[:, None] - gallery[None], axis=2).argmin(1) == np.arange(PEOPLE)).mean())

    assert found(faces) > 0.8
    assert found(new) <= 3 / PEOPLE


def test_only_those_who_may_train_are_fitted_and_few_photos_make_no_identity(
    population: tuple[np.ndarray, list[str], np.ndarray],
) -> None:
    faces, labels, _ = population
    held = np.array([label == "x/00" for label in labels])
    several = [
        label if number % PHOTOS < 3 or label != "x/01" else f"x/one{number}" for number, label in enumerate(labels)
    ]
    empty = np.zeros((len(faces), 4, 2), np.float32)
    crops = Crops(Path(), Pixels([]), faces.astype(np.float32), empty, several, held)
    found = fit_crops(crops)
    assert found.labels == sorted(set(labels) - {"x/00", "x/01"})
    moved = faces.copy()
    moved[held] += np.random.default_rng(3).normal(0, 30, moved[held].shape)
    again = fit_crops(Crops(Path(), crops.pixels, moved.astype(np.float32), empty, several, held))
    assert np.array_equal(found.reader, again.reader)
