"""Crops come from the original's coordinates, and controls from dsanon's own rendering."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.seeing.faces import CONTROLS, arcface_chip, control, dlib_chip, place, points_of, square_chip
from faces import drawn_landmarks

from dsanon.align import face_transform
from dsanon.sample import Region

POINTS = drawn_landmarks(120, 110, 80)
LEFT, RIGHT = POINTS[36:42].mean(0), POINTS[42:48].mean(0)


def dotted() -> np.ndarray:
    """A grey photo with a red left eye and a green right one."""
    photo = np.full((240, 240, 3), 100, np.uint8)
    for (x, y), colour in ((LEFT, (255, 0, 0)), (RIGHT, (0, 255, 0))):
        photo[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4] = colour
    return photo


def centre(chip: np.ndarray, channel: int) -> tuple[float, float]:
    strong = chip[..., channel].astype(int) - chip[..., 1 - channel] > 80
    rows, columns = np.nonzero(strong)
    return float(columns.mean()), float(rows.mean())


def test_arcface_puts_the_eyes_where_the_network_expects_them() -> None:
    chip = arcface_chip(dotted(), POINTS)
    assert chip.shape == (112, 112, 3)
    # a drawn face has other proportions than the template: near, not exact
    assert centre(chip, 0) == pytest.approx((38.3, 51.7), abs=6)
    assert centre(chip, 1) == pytest.approx((73.5, 51.5), abs=6)


def test_the_square_is_as_large_and_as_high_as_documented() -> None:
    chip = square_chip(dotted(), POINTS)
    x0, y0, x1, y1 = POINTS[:, 0].min(), POINTS[:, 1].min(), POINTS[:, 0].max(), POINTS[:, 1].max()
    side = 1.35 * max(x1 - x0, y1 - y0)
    corner = np.array([(x0 + x1 - side) / 2, (y0 + y1 - side) / 2 - 0.08 * side])
    assert centre(chip, 0) == pytest.approx((LEFT - corner) * 224 / side, abs=1.5)


def test_dlib_aligns_by_the_given_landmarks() -> None:
    chip = dlib_chip(dotted(), POINTS)
    assert chip.shape == (150, 150, 3)
    (xl, yl), (xr, yr) = centre(chip, 0), centre(chip, 1)
    assert xl < 75 < xr
    assert abs(yl - yr) < 3


def region() -> Region:
    transform = tuple(float(v) for v in face_transform(POINTS).ravel())
    return Region("face", (0, 0, 240, 240), "a", tuple(float(v) for v in POINTS.ravel()), transform)


def test_controls_replace_the_face_and_nothing_far_from_it() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    made = {name: control(photo, [region()], name) for name in CONTROLS}
    x, y = (round(float(v)) for v in POINTS.mean(0))
    for name, picture in made.items():
        assert (picture[:20] == photo[:20]).all(), name
        assert not (picture[y - 8 : y + 8, x - 8 : x + 8] == photo[y - 8 : y + 8, x - 8 : x + 8]).all(), name
    assert np.ptp(made["blackout"][y - 20 : y + 20, x - 20 : x + 20]) == 0
    inside = (slice(y - 20, y + 20), slice(x - 20, x + 20))
    assert made["blur17"][inside].std() < made["blur9"][inside].std()


def test_a_face_without_landmarks_is_where_its_box_is() -> None:
    assert place(Region("face", (1, 2, 3, 4))) == (1, 2, 3, 4)
    assert place(region()) == pytest.approx((*POINTS.min(0), *POINTS.max(0)))


def test_a_face_that_cannot_be_aligned_is_still_cropped_from_the_original() -> None:
    asked = []

    def predictor(pixels: np.ndarray, square: tuple[float, float, float, float]) -> np.ndarray:
        asked.append(square)
        return POINTS

    found = points_of(Region("face", (100, 50, 200, 250)), dotted(), predictor)
    assert found.shape == (68, 2)
    (square,) = asked
    assert ((square[0] + square[2]) / 2, (square[1] + square[3]) / 2) == pytest.approx((150, 150))
    assert square[2] - square[0] == pytest.approx(square[3] - square[1]) == pytest.approx(0.7 * 20_000**0.5)
    assert points_of(region(), dotted(), predictor) == pytest.approx(POINTS)
    assert len(asked) == 1
