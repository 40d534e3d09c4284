from __future__ import annotations

import numpy as np
import pytest
from faces import drawn_landmarks
from scipy.interpolate import make_smoothing_spline

from dsanon.align import apply, face_transform, scale_of
from dsanon.sample import Box
from dsanon.smoothing import LEASH, Curve, smooth, spline

SIZE = 100.0


def times(n: int) -> np.ndarray:
    return np.arange(n) / 30


def box_of(points: np.ndarray) -> Box:
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return x0, y0, x1, y1


def curve(faces: list[np.ndarray], at: np.ndarray | None = None) -> Curve:
    return smooth(times(len(faces)) if at is None else at, [(face, box_of(face)) for face in faces])


def turned(degrees: float, x: float, y: float, size: float) -> np.ndarray:
    a = np.radians(degrees)
    points = drawn_landmarks(0, 0, size).astype(np.float64)
    return points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + (x, y)


def moving(n: int) -> list[np.ndarray]:
    """A face that walks, nods, comes nearer and turns on, past half a turn."""
    return [turned(150 + 2 * i, 100 + 3 * i, 200 + 10 * np.sin(i / 9), SIZE * 1.01**i) for i in range(n)]


def jitter(faces: list[np.ndarray]) -> float:
    p = np.stack(faces)
    return float(np.abs(p[2:] - 2 * p[1:-1] + p[:-2]).mean())


def test_the_spline_is_scipys() -> None:
    rng = np.random.default_rng(0)
    at, values = np.sort(rng.random(30)) * 30, rng.normal(size=(30, 2))
    expected = np.stack([make_smoothing_spline(at, column, lam=2.5)(at) for column in values.T], axis=1)
    np.testing.assert_allclose(spline(at, values, 2.5), expected, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_the_spline_of_few_values_keeps_lines(n: int) -> None:
    line = np.arange(n)[:, None] * [1.0, -2.0] + 5
    np.testing.assert_allclose(
        spline(np.arange(n) ** 1.5, np.arange(n)[:, None] ** 1.5 * [1.0], 9.0).ravel(), np.arange(n) ** 1.5, atol=1e-9
    )
    np.testing.assert_allclose(spline(np.arange(n) * 1.0, line, 9.0), line, atol=1e-9)


def test_motion_stays_and_jitter_goes() -> None:
    rng = np.random.default_rng(1)
    real = moving(40)
    seen = [face + rng.normal(0, 0.8, face.shape) for face in real]
    found = curve(seen)
    steady = [found.at(t).landmarks for t in times(40)]
    assert not found.outliers.any()
    assert jitter(steady) < 0.3 * jitter(seen)
    assert np.abs(np.stack(steady) - real).mean() < 0.6 * np.abs(np.stack(seen) - real).mean()
    undisturbed = curve(real)
    assert max(np.abs(undisturbed.at(t).landmarks - face).max() for t, face in zip(times(40), real, strict=True)) < 1.0


def test_alignment_fits_its_landmarks() -> None:
    found = curve(moving(30))
    for t in times(30):
        face = found.at(t)
        inside = apply(face.transform, face.landmarks)
        assert (inside[:27] > 0).all()
        assert (inside[:27] < 128).all()
        assert np.abs(inside - apply(face_transform(face.landmarks), face.landmarks)).max() < 3


def test_nothing_moves_further_than_what_is_hidden_beyond_the_outline() -> None:
    """However wildly a face is shaken, what is hidden holds the outline as it was seen."""
    rng = np.random.default_rng(2)
    seen = [turned(30 * rng.normal(), 100 + 40 * rng.normal(), 100 + 40 * rng.normal(), SIZE) for _ in range(20)]
    found = curve(seen)
    for t, points, outlier in zip(times(20), seen, found.outliers, strict=True):
        face = found.at(t)
        away = np.hypot(*(face.landmarks - points)[:27].T).max() * scale_of(face.transform)
        assert outlier or away < LEASH + 0.75


def test_landmarks_that_all_others_contradict_are_told_by_them() -> None:
    seen = moving(30)
    wrong = seen[12].copy()
    seen[12] = turned(174, 180, 240, SIZE)
    found = curve(seen)
    assert found.outliers.tolist() == [i == 12 for i in range(30)]
    assert np.abs(found.at(12 / 30).landmarks - wrong).max() < 3


def test_between_sightings_the_face_moves_on() -> None:
    real = moving(41)
    at = times(41)
    kept = [i for i in range(41) if i % 3 != 1]
    found = curve([real[i] for i in kept], at[kept])
    assert max(np.abs(found.at(at[i]).landmarks - real[i]).max() for i in range(1, 40, 3)) < 3
    gap = [i for i in range(41) if not 10 < i < 30]
    found = curve([real[i] for i in gap], at[gap])
    for i in range(11, 30):
        centre = found.at(at[i]).landmarks.mean(0)
        assert np.hypot(*(centre - real[i].mean(0))) < 0.15 * SIZE


def test_one_sighting_is_a_face_that_stands_still() -> None:
    face = turned(10, 50, 60, SIZE)
    found = curve([face])
    for t in (-1.0, 0.0, 1.0):
        np.testing.assert_allclose(found.at(t).landmarks, face, atol=1e-6)
        np.testing.assert_allclose(found.at(t).box, box_of(face), atol=1e-6)


def test_two_sightings_are_joined_by_a_line() -> None:
    found = curve([turned(0, 50, 60, SIZE), turned(0, 90, 60, SIZE)], np.array([0.0, 0.2]))
    np.testing.assert_allclose(found.at(0.05).landmarks, turned(0, 60, 60, SIZE), atol=1e-6)
