from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from faces import drawn_landmarks
from hypothesis import given, settings
from hypothesis import strategies as st

from dsanon import shapes
from dsanon.align import Floats, apply
from dsanon.detectors import Detection
from dsanon.detectors.union import FaceCandidate
from dsanon.sample import Box, Pixels
from dsanon.shapes import CUT, FEEBLE, IMPOSSIBLE, TINY, TURNED, UNSTABLE, fit, five_of, implausible

PHOTO = np.zeros((300, 400, 3), np.uint8)
SQUARE: Box = (150.0, 100.0, 250.0, 200.0)


def in_square(box: Box) -> Floats:
    """The drawn face as dlib's square frames it: eyes at 0.29 of its height, mouth at 0.73."""
    side = box[2] - box[0]
    return drawn_landmarks((box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.105 * side, side)


class Believer:
    """A predictor that finds its face wherever it is told to look, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pixels: Pixels, box: Box) -> Floats:
        self.calls += 1
        return in_square(box)


class Wanderer(Believer):
    """Answers something else each time."""

    def __call__(self, pixels: Pixels, box: Box) -> Floats:
        self.calls += 1
        return in_square(box) + 0.2 * self.calls * (box[2] - box[0])


def candidate(
    *detectors: str, square: Box = SQUARE, score: float = 0.9, five: np.ndarray | None = None
) -> FaceCandidate:
    # an unknown detector's box is its own landmark square, as HOG's is
    points = () if five is None else tuple((float(x), float(y)) for x, y in five)
    members = tuple(Detection(square, score, name, points) for name in detectors)
    return FaceCandidate(square, score, detectors, points, members)


def test_two_detectors_that_agree_with_the_landmarks_are_believed_at_once() -> None:
    predictor = Believer()
    points, reason = fit(PHOTO, candidate("hog", "five", five=five_of(in_square(SQUARE))), predictor)
    assert reason == ""
    assert predictor.calls == 1
    np.testing.assert_array_equal(points, in_square(SQUARE))


def test_one_detector_needs_a_second_start() -> None:
    predictor = Believer()
    points, reason = fit(PHOTO, candidate("five", five=five_of(in_square(SQUARE))), predictor)
    assert reason == ""
    assert predictor.calls == 2
    assert points is not None
    assert np.abs(points - in_square(SQUARE)).max() < 3


@pytest.mark.parametrize("roll", [-170.0, -90.0, 45.0, 120.0])
def test_a_rolled_face_is_looked_at_upright_and_its_landmarks_are_turned_back(roll: float) -> None:
    a = np.radians(roll)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    about = np.hstack([turn, (np.array([200, 150]) - turn @ (200, 150))[:, None]])
    truth = apply(about, in_square(SQUARE))
    points, reason = fit(PHOTO, candidate("five", five=five_of(truth)), Believer())
    assert reason == ""
    assert points is not None
    assert np.hypot(*(points - truth).T).mean() < 5  # of a face of 100 pixels


def test_landmarks_that_miss_the_detectors_points_are_refused() -> None:
    def stubborn(pixels: Pixels, box: Box) -> Floats:
        return in_square(box) + (0 if pixels is PHOTO else 60)

    shifted = five_of(in_square(SQUARE)) + np.array([15, 0])  # 0.15 sides: beyond the limit of 0.105
    assert fit(PHOTO, candidate("hog", "five", five=shifted), stubborn) == (None, TURNED)


def test_landmarks_that_depend_on_the_start_are_refused() -> None:
    far = five_of(in_square(SQUARE)) + 40
    assert fit(PHOTO, candidate("hog", "five", five=far), Wanderer()) == (None, UNSTABLE)
    assert fit(PHOTO, candidate("hog"), Wanderer()) == (None, UNSTABLE)


def test_without_points_four_starts_must_agree() -> None:
    predictor = Believer()
    points, reason = fit(PHOTO, candidate("hog"), predictor)
    assert (reason, predictor.calls) == ("", 4)
    np.testing.assert_array_equal(points, in_square(SQUARE))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (candidate("hog", score=0.59), FEEBLE),
        (candidate("hog", score=0.6), ""),
        (candidate("five", score=0.49), FEEBLE),
        (candidate("hog", "mmod", score=0.4), ""),
        (candidate("hog", square=(50.0, 50.0, 65.0, 65.0)), TINY),
        (candidate("hog", square=(50.0, 50.0, 66.0, 66.0)), ""),
        (candidate("hog", square=(-60.0, 100.0, 40.0, 200.0)), CUT),
        (candidate("hog", square=(-10.0, 100.0, 90.0, 200.0)), ""),
    ],
)
def test_feeble_tiny_and_cut_faces(found: FaceCandidate, reason: str) -> None:
    points, why = fit(PHOTO, found, Believer())
    assert why == reason
    assert (points is None) == bool(reason)


def test_points_that_coincide_do_no_harm() -> None:
    points, reason = fit(PHOTO, candidate("five", five=np.full((5, 2), 150.0)), Believer())
    assert points is None
    assert reason


_FACE = in_square(SQUARE)
_FIVE = [(float(x), float(y)) for x, y in five_of(_FACE)]


@pytest.mark.parametrize(
    ("change", "five"),
    [
        (lambda p: p * (0.1, 1.0), []),  # eyes too close
        (lambda p: p * (1.0, 0.1), []),  # the mouth at the eyes
        (lambda p: (0, 300) - p * (-1, 1), []),  # upside down, said to be upright
        (lambda p: p, [_FIVE[1], _FIVE[0], *_FIVE[2:]]),  # the detector has the eyes the other way round
        (lambda p: p * np.nan, []),
        (lambda p: (p - p.mean(0)) * 3 + p.mean(0), []),
    ],
)
def test_what_is_no_face_is_implausible(change: Callable[[Floats], Floats], five: list[tuple[float, float]]) -> None:
    assert implausible(_FACE, 100.0, _FIVE, 400, 300) == ""
    assert implausible(np.asarray(change(_FACE)), 100.0, five, 4000, 3000) == IMPOSSIBLE


@given(
    answer=st.lists(st.tuples(st.floats(-50, 450), st.floats(-50, 350)), min_size=68, max_size=68),
    five=st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=5, max_size=5) | st.none(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_predictor_says_there_are_landmarks_or_a_reason(
    answer: list[tuple[float, float]], five: list[tuple[float, float]] | None
) -> None:
    points, reason = fit(
        PHOTO,
        candidate("hog", "five", five=None if five is None else np.array(five)),
        lambda pixels, box: np.array(answer, dtype=np.float32),
    )
    assert (points is None) == bool(reason)


def test_every_reason_is_one_line() -> None:
    for name in ("TINY", "TURNED", "UNSTABLE", "IMPOSSIBLE", "CUT", "FEEBLE"):
        assert 0 < len(getattr(shapes, name)) < 80
        assert "\n" not in getattr(shapes, name)
