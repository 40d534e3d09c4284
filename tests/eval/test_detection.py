"""The share of faces found again: of those found before, at the same place."""

from __future__ import annotations

import numpy as np
from dsanon_eval import gates
from dsanon_eval.figures import _detected
from dsanon_eval.seeing.case import Face
from dsanon_eval.seeing.gathered import Gathered, Picture
from dsanon_eval.utility.detection import best_at, measure, squares

from dsanon.detectors import Detection
from dsanon.sample import Region, Status

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


STATUSES: tuple[Status, Status] = ("fallback", "anonymized")


def found_again(treated: list[bool]) -> dict[str, tuple[float, int, bool | None]]:
    """Value, n and verdict of an audit in which every painted face is found again, and no covered one."""
    region = Region("face", PLACE)
    faces = [Face(str(i), True, str(i), "s", STATUSES[one], region) for i, one in enumerate(treated)]
    n = len(treated)
    nothing = np.zeros((n, 0), np.float32)

    def picture(found: list[bool]) -> Picture:
        return Picture(np.ones(n, bool), {"hog": np.array(found)}, {}, nothing, nothing, nothing)

    seen = {"original": picture([True] * n), "release": picture(treated)}
    gathered = Gathered(faces, [""] * n, [""], seen)
    rows = _detected(gathered, seen["original"], "release", seen["release"])
    assert _detected(gathered, seen["original"], "original", seen["original"]) == []
    rules = [rule for rule in gates.read_rules(gates.SHIPPED, "mot") if rule.model == "hog"]
    figures, _ = gates.apply(rules, rows)
    assert gates.unasked(rules, figures) == [] or not any(treated)
    return {figure.name: (figure.value, figure.n, figure.passed) for figure in figures}


def test_covered_faces_are_not_expected_to_be_found() -> None:
    """Four painted faces are found again, and a covered one is not: both gates are passed, and all three are told."""
    assert found_again([True, False, True, True, True]) == {
        "detection_rate": (1.0, 4, True),
        "detection_rate_covered": (0.0, 1, None),
        "detection_rate_all": (0.8, 5, True),
    }
    assert found_again([True, False, True, False])["detection_rate_all"] == (0.5, 4, False)  # too many were covered
    assert found_again([True, True]) == {"detection_rate": (1.0, 2, True), "detection_rate_all": (1.0, 2, True)}


def test_a_release_that_covered_everybody_passes_no_gate_of_detection() -> None:
    assert found_again([False, False]) == {
        "detection_rate_covered": (0.0, 2, None),
        "detection_rate_all": (0.0, 2, False),
    }
