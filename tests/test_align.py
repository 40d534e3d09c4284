from __future__ import annotations

import numpy as np
import pytest
from faces import drawn_landmarks
from hypothesis import given, settings
from hypothesis import strategies as st

from dsanon.align import CROP, anchors, apply, face_transform, invert, scale_of, similarity, warp
from dsanon.landmarks import (
    FULL,
    HIDDEN,
    blend_weight,
    distance_outside,
    draw,
    face_polygon,
    hidden_from_generator,
)


def test_similarity_by_hand() -> None:
    # twice as large, a quarter turn, moved by (3, 4): (1, 0) -> (0, 2) + (3, 4)
    t = similarity([[0, 0], [1, 0], [0, 1]], [[3, 4], [3, 6], [1, 4]])
    assert np.allclose(t, [[0, -2, 3], [2, 0, 4]])
    assert scale_of(t) == pytest.approx(2)
    with pytest.raises(ValueError, match="coincide"):
        similarity([[1, 1], [1, 1]], [[0, 0], [1, 1]])


@given(x=st.floats(100, 900), y=st.floats(100, 900), size=st.floats(20, 600), angle=st.floats(-3.1, 3.1))
@settings(max_examples=40, deadline=None)
def test_a_face_lands_upright_and_whole_wherever_it_was(x: float, y: float, size: float, angle: float) -> None:
    c, s = np.cos(angle), np.sin(angle)
    points = (drawn_landmarks(0, 0, size) @ np.array([[c, s], [-s, c]])) + (x, y)
    transform = face_transform(points)
    placed = apply(transform, points)
    left, right, mouth = anchors(placed)
    assert abs(left[1] - right[1]) < 1e-3
    assert left[0] < right[0]
    assert mouth[1] > left[1]
    distance = distance_outside(face_polygon(placed), (CROP + 80, CROP + 80), (-40, -40))
    rows, columns = np.nonzero(distance <= HIDDEN)
    assert rows.min() > 40
    assert columns.min() > 40
    assert max(rows.max(), columns.max()) < CROP + 40
    assert np.allclose(apply(invert(transform), placed), points, atol=1e-3 * size + 1e-3)


def test_the_nearest_of_several_polygons_counts() -> None:
    near, far = (face_polygon(drawn_landmarks(x, 60, 50)) for x in (50, 110))
    each = [distance_outside(polygon, (128, 160)) for polygon in (near, far)]
    assert np.array_equal(distance_outside([near, far], (128, 160)), np.minimum(*each))
    assert (each[0] < each[1]).any()
    assert (each[1] < each[0]).any()


@pytest.mark.parametrize("size", [30, 90, 200, 700])
def test_a_crop_takes_nothing_from_where_the_mask_warps_to_zero(size: int) -> None:
    rng = np.random.default_rng(size)
    photo = rng.integers(0, 256, (900, 900, 3), np.uint8)
    points = drawn_landmarks(450, 430, size)
    transform = face_transform(points)
    mask = np.zeros((900, 900), np.uint8)
    mask[430 - size // 2 : 430, 450 - size // 3 : 450 + size] = 255
    changed = photo.copy()
    changed[mask > 0] = 255 - changed[mask > 0]
    free = warp(mask, transform, pad=0) == 0
    assert free.any()
    assert np.array_equal(warp(photo, transform)[free], warp(changed, transform)[free])
    assert not np.array_equal(warp(photo, transform), warp(changed, transform))


def test_beyond_the_photo_is_a_constant() -> None:
    photo = np.full((60, 60, 3), 200, np.uint8)
    crop = warp(photo, face_transform(drawn_landmarks(55, 30, 40)))
    assert (crop[:, -10:] == 127).all()
    far = np.array([[1.0, 0, 5000], [0, 1, 5000]])
    assert (warp(photo, far) == 127).all()


def test_weights_and_what_is_hidden() -> None:
    distance = np.array([[0.0, FULL, FULL + 2.5, 20.0]], np.float32)
    assert blend_weight(distance).tolist() == [[1.0, 1.0, 0.5, 0.0]]
    assert blend_weight(distance * 4, unit=4).tolist() == [[1.0, 1.0, 0.5, 0.0]]
    assert hidden_from_generator(distance).tolist() == [[True, True, False, False]]
    assert HIDDEN >= FULL  # the generator must never see what does not survive


def test_the_landmark_image_shows_no_eyes_and_no_brows() -> None:
    points = apply(face_transform(drawn_landmarks(64, 64, 90)), drawn_landmarks(64, 64, 90))
    moved = points.copy()
    moved[17:27] += 3  # brows
    moved[36:48] += 3  # eyes
    assert np.array_equal(draw(points), draw(moved))
    moved[48:68] += 3
    assert not np.array_equal(draw(points), draw(moved))
