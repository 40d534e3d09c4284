"""The share of faces found again: of those found before, at the same place."""

from __future__ import annotations

import numpy as np
from dsanon_eval.utility.detection import best_at, measure, squares

from dsanon.detectors import Detection

PLACE = (100.0, 100.0, 200.0, 200.0)


def test_a_face_elsewhere_is_not_found_again() -> None:
    assert best_at([(300, 300, 400, 400), (110, 95, 210, 200)], PLACE) == 1
    assert best_at([(160, 160, 260, 260)], PLACE) == -1
    assert best_at([(140, 140, 160, 160)], PLACE) == -1  # a nose is no face
    assert best_at(np.zeros((0, 4)), PLACE) == -1


def test_detectors_are_compared_by_the_same_square() -> None:
    hog = Detection((100, 100, 200, 200), 1.0, "hog")
    assert squares([hog]).tolist() == [[100, 100, 200, 200]]
    assert squares([]).shape == (0, 4)


def test_n_is_the_faces_found_before() -> None:
    (figure,) = measure("hog", "release", [True, True, False, True], [True, False, True, True], ["a", "b", "c", "d"])
    assert figure.n == 3
    assert figure.value == 2 / 3
    assert measure("hog", "release", [False], [True], ["a"]) == []
