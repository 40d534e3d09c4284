from __future__ import annotations

import numpy as np
import pytest

from dsanon.detectors.looks import STEP, Seen, look
from dsanon.sample import Pixels


class Network:
    """A network that sees given faces (in pixels of the original) if they are no larger than its limit."""

    def __init__(self, faces: list[tuple[float, float, float, float]], original: int, parts: bool = False) -> None:
        self.faces, self.original, self.parts = np.array(faces, dtype=float), original, parts
        self.widths: list[int] = []

    def __call__(self, image: Pixels) -> Seen:
        self.widths.append(image.shape[1])
        found = self.faces * image.shape[1] / self.original
        sides = found[:, 2] - found[:, 0]
        if self.parts:  # of a large face only its upper left part is seen
            found[sides > 600, 2:] = found[sides > 600, :2] + 420
        else:
            found = found[sides <= 600]
        return found, np.full(len(found), 0.5), np.repeat(found[:, None, :2], 5, axis=1)


def test_small_images_are_seen_once() -> None:
    network = Network([(10, 10, 50, 50)], original=400)
    found, scores, points = look(np.zeros((300, 400, 3), np.uint8), 1.5, network, 0.3)
    assert network.widths == [600]
    assert found == pytest.approx(np.array([[10, 10, 50, 50]]))
    assert scores.tolist() == [0.5]
    assert points[0] == pytest.approx(np.full((5, 2), 10))


@pytest.mark.parametrize("parts", [False, True])
def test_a_face_that_fills_a_large_image_is_seen_whole(parts: bool) -> None:
    network = Network([(100, 100, 1700, 1700), (1750, 20, 1780, 50)], original=1800, parts=parts)
    found, _, points = look(np.zeros((1800, 1800, 3), np.uint8), 1.0, network, 0.3)
    assert network.widths == [1800, 1800 / STEP]
    assert sorted(found.round().tolist()) == [[100, 100, 1700, 1700], [1750, 20, 1780, 50]]
    assert len(points) == 2


def test_a_large_face_that_only_the_near_look_sees_stays() -> None:
    def near_only(image: Pixels) -> Seen:
        found = np.array([[0.0, 0.0, 450.0, 450.0]]) if image.shape[1] == 1800 else np.zeros((0, 4))
        return found, np.full(len(found), 0.9), np.zeros((len(found), 5, 2))

    assert len(look(np.zeros((1800, 1800, 3), np.uint8), 1.0, near_only, 0.3)[0]) == 1


def test_no_face_at_any_distance() -> None:
    def blind(image: Pixels) -> Seen:
        return np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))

    found, scores, points = look(np.zeros((2000, 6000, 3), np.uint8), 1.0, blind, 0.3)
    assert (found.shape, scores.shape, points.shape) == ((0, 4), (0,), (0, 5, 2))
