from __future__ import annotations

import numpy as np
import torch
from dsanon_training.teacher import aligned, arcface_theta
from faces import drawn_landmarks

from dsanon.align import similarity
from dsanon.shapes import ARCFACE, five_of


def faces(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = [drawn_landmarks(64 + rng.normal(0, 4), 60 + rng.normal(0, 4), 40) for _ in range(n)]
    return np.stack(drawn) + rng.normal(0, 1, (n, 68, 2))


def places(theta: np.ndarray, size: int) -> np.ndarray:
    """Where in a crop of ``size`` pixels the corners of ArcFace's crop, (4, 2), are sampled."""
    corners = np.array([[0, 0], [111, 0], [111, 111], [0, 111]])
    grid = (2 * corners + 1) / 112 - 1  # align_corners=False
    return ((theta[:, :, :2] @ grid.T + theta[:, :, 2:]).transpose(0, 2, 1) + 1) * size / 2 - 0.5


def test_all_faces_are_aligned_as_each_alone_by_umeyama() -> None:
    points = faces(5)
    found = places(arcface_theta(points, 128), 128)
    corners = np.array([[0, 0, 1], [111, 0, 1], [111, 111, 1], [0, 111, 1]])
    for seen, face in zip(found, points, strict=True):
        assert np.allclose(seen, corners @ similarity(ARCFACE, five_of(face)).T, atol=1e-3)
    assert arcface_theta(points[:0], 128).shape == (0, 2, 3)


def test_jitter_moves_each_face_a_little_and_its_own_way() -> None:
    points = np.repeat(faces(1), 200, 0)
    away = places(arcface_theta(points, 128, np.random.default_rng(1)), 128) - places(arcface_theta(points, 128), 128)
    moved = np.linalg.norm(away.mean(1), axis=1)
    assert len(np.unique(moved)) == 200
    scale = np.linalg.norm(similarity(ARCFACE, five_of(points[0]))[:, 0])  # crop pixels for one of ArcFace's
    assert 0.03 * 112 * scale < moved.max() < 0.07 * 112 * scale


def test_places_are_of_float32_under_autocast() -> None:
    pixels = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    theta = torch.from_numpy(arcface_theta(faces(3), 128))
    exact = aligned(pixels, theta, (112, 112), "border")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(aligned(pixels, theta, (112, 112), "border"), exact)
