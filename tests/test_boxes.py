from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsanon import boxes


def some_boxes(most: int = 6) -> st.SearchStrategy[np.ndarray]:
    corners = arrays(np.float64, st.tuples(st.integers(0, most), st.just(4)), elements=st.integers(-50, 50))
    return corners.map(lambda c: np.hstack([c[:, :2], c[:, :2] + np.abs(c[:, 2:])]))


def test_overlaps_worked_out_by_hand() -> None:
    a, b = [(0, 0, 4, 4)], [(2, 2, 6, 6), (1, 1, 3, 3), (4, 0, 8, 4), (5, 5, 5, 9)]
    assert boxes.intersection(a, b).tolist() == [[4, 4, 0, 0]]
    assert boxes.iou(a, b).tolist() == [[4 / 28, 4 / 16, 0, 0]]
    assert boxes.intersection_over_smaller(a, b).tolist() == [[0.25, 1, 0, 0]]


def test_no_boxes_are_an_empty_matrix() -> None:
    assert boxes.iou([], [(0, 0, 1, 1)]).shape == (0, 1)
    assert boxes.iou([(0, 0, 1, 1)], []).shape == (1, 0)
    assert boxes.clip([], 5, 5).shape == (0, 4)
    assert boxes.suppress([], [], 0.5).tolist() == []


def test_empty_boxes_overlap_nothing_and_do_not_divide_by_zero() -> None:
    assert boxes.iou([(3, 3, 3, 3)], [(3, 3, 3, 3)]).tolist() == [[0]]
    assert boxes.intersection_over_smaller([(3, 3, 3, 3)], [(0, 0, 9, 9)]).tolist() == [[0]]
    assert boxes.area([(5, 5, 1, 9)]).tolist() == [0]


def test_clip_cuts_at_the_border_and_empties_what_is_outside() -> None:
    assert boxes.clip([(-5, 2, 3, 99), (20, 20, 30, 30)], 10, 8).tolist() == [[0, 2, 3, 8], [10, 8, 10, 8]]


def test_expand_keeps_the_centre() -> None:
    assert boxes.expand((0, 0, 4, 2), 2).tolist() == [[-2, -1, 6, 3]]


def test_hull_covers_all() -> None:
    assert boxes.hull([(0, 5, 2, 6), (-1, 7, 1, 9)]).tolist() == [[-1, 5, 2, 9]]
    with pytest.raises(ValueError):
        boxes.hull([])


def test_suppression_keeps_the_best_of_each_heap() -> None:
    found = [(0, 0, 10, 10), (1, 0, 11, 10), (50, 0, 60, 10), (0, 0, 10, 4)]
    assert boxes.suppress(found, [0.5, 0.9, 0.1, 0.3], 0.5).tolist() == [1, 3, 2]


def test_ties_are_ranked_by_coordinates() -> None:
    found = [(2, 0, 3, 1), (1, 0, 3, 1), (1, 0, 2, 1)]
    assert boxes.ranking(found, [0.5, 0.5, 0.5]).tolist() == [2, 1, 0]


@given(some_boxes(), some_boxes())
def test_overlaps_are_symmetric_and_ordered(a: np.ndarray, b: np.ndarray) -> None:
    iou, inside = boxes.iou(a, b), boxes.intersection_over_smaller(a, b)
    assert np.array_equal(iou, boxes.iou(b, a).T)
    assert ((iou >= 0) & (iou <= inside) & (inside <= 1)).all()


@given(some_boxes(), st.integers(1, 40), st.integers(1, 40))
def test_clipped_boxes_lie_in_the_image_and_are_no_larger(a: np.ndarray, width: int, height: int) -> None:
    clipped = boxes.clip(a, width, height)
    assert (boxes.area(clipped) <= boxes.area(a)).all()
    assert np.array_equal(boxes.intersection(a, [(0, 0, width, height)])[:, 0], boxes.area(clipped))
