from __future__ import annotations

import itertools

import pytest

from dsanon import boxes
from dsanon.detectors import Detection
from dsanon.detectors.union import BOX_FIT, landmark_square, unite
from dsanon.sample import Box

FIVE = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))


def face(
    box: Box, score: float = 0.8, detector: str = "hog", points: tuple[tuple[float, float], ...] = ()
) -> Detection:
    return Detection(box, score, detector, points)


def own_box(square: Box, detector: str) -> Box:
    """The box (as wide as high) by which ``detector`` means the face in ``square``."""
    dx, dy, scale = BOX_FIT[detector]
    size = (square[2] - square[0]) / scale
    x, y = (square[0] + square[2]) / 2 - dx * size, (square[1] + square[3]) / 2 - dy * size
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def test_nobody_is_nobody() -> None:
    assert unite([]) == []


@pytest.mark.parametrize("detector", BOX_FIT)
def test_landmark_square_undoes_each_detectors_convention(detector: str) -> None:
    square = (100.0, 50.0, 180.0, 130.0)
    assert landmark_square(face(own_box(square, detector), detector=detector)) == pytest.approx(square)


def test_landmark_square_of_a_tall_box_is_a_square_about_its_middle() -> None:
    x0, y0, x1, y1 = landmark_square(face((0, 0, 40, 90), detector="centerface"))
    assert x1 - x0 == pytest.approx(y1 - y0) == pytest.approx(60 * 0.946)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((20, 45 + 0.041 * 60))


def test_an_annotation_is_taken_at_its_word() -> None:
    assert landmark_square(face((10, 10, 30, 30), detector="annotation")) == (10, 10, 30, 30)


def test_two_detectors_boxes_become_one_face_that_covers_both() -> None:
    square, tall = (20.0, 40.0, 100.0, 120.0), (28.0, 15.0, 94.0, 118.0)
    (found,) = unite([face(square, 0.7), face(tall, 0.9, "centerface", FIVE)])
    assert found.box == (20.0, 15.0, 100.0, 120.0)
    assert found.score == 0.9
    assert list(found.detectors) == [member.detector for member in found.members] == ["centerface", "hog"]
    assert list(found.points) == list(FIVE)


def test_points_come_from_the_best_member_that_has_them() -> None:
    box = (20.0, 40.0, 100.0, 120.0)
    (found,) = unite([face(box, 0.9), face(box, 0.4, "yunet", FIVE), face(box, 0.3, "retinaface", FIVE[::-1])])
    assert found.points == FIVE


@pytest.mark.parametrize("shift", [55, 60, 80])
def test_neighbouring_heads_stay_two(shift: float) -> None:
    # two boxes that one detector kept apart in crowds have an IoU of at most 0.32: a shift of half the side
    one, two = (0.0, 0.0, 100.0, 100.0), (shift, 10.0, 100.0 + shift, 110.0)
    assert len(unite([face(one, 0.9), face(two, 0.8)])) == 2
    assert len(unite([face(one, 0.9), face(two, 0.8, "centerface"), face(two, 0.7), face(one, 0.6, "mmod")])) == 2


def test_each_detection_joins_the_face_it_overlaps_most() -> None:
    left, right = (0.0, 0.0, 100.0, 100.0), (60.0, 0.0, 160.0, 100.0)
    between = (46.0, 0.0, 146.0, 100.0)
    faces = unite([face(left, 0.9), face(right, 0.8), face(between, 0.5, "mmod")])
    assert [len(f.members) for f in faces] == [1, 2]


@pytest.mark.parametrize("half", [(0.0, 0.0, 55.0, 55.0), (40.0, 30.0, 95.0, 85.0), (-5.0, 20.0, 60.0, 85.0)])
def test_a_face_and_a_part_of_it_are_one(half: Box) -> None:
    (found,) = unite([face((0.0, 0.0, 100.0, 100.0), 0.9), face(half, 0.5, "yunet")])
    assert boxes.intersection_over_smaller(half, found.box)[0, 0] == 1


def test_a_small_face_before_a_large_one_is_a_face_of_its_own() -> None:
    assert len(unite([face((0, 0, 100, 100), 0.9), face((30, 30, 60, 60), 0.5, "yunet")])) == 2


def test_nothing_is_dropped_and_order_does_not_matter() -> None:
    found = [
        face((0, 0, 100, 100), 0.9),
        face((5, -20, 95, 100), 0.9, "centerface", FIVE),
        face((60, 5, 160, 105), 0.7),
        face((300, 300, 301, 301), 0.1, "yunet"),
        face((50, 50, 50, 50), 0.3, "mmod"),
    ]
    expected = unite(found)
    assert sorted(m.box for f in expected for m in f.members) == sorted(d.box for d in found)
    for shuffled in itertools.permutations(found):
        assert unite(shuffled) == expected
    assert [f.score for f in expected] == sorted((f.score for f in expected), reverse=True)
