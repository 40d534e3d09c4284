"""The same pixels are told from a like face, in their place and elsewhere, also after a JPEG."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from dsanon_eval.leaks.likeness import Searched, at_place, correlation, face_of
from PIL import Image


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    from skimage import data

    return np.asarray(data.astronaut())[:340]


BOX = (170.0, 60.0, 280.0, 200.0)


def jpeg(pixels: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=75)
    return np.asarray(Image.open(io.BytesIO(out.getvalue())))


def covered(portrait: np.ndarray) -> np.ndarray:
    out = portrait.copy()
    out[60:200, 170:280] = 127
    return out


def test_correlation_by_hand() -> None:
    inside = np.ones((4, 4), bool)
    ramp = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert correlation(ramp, 3 * ramp + 7, inside) == pytest.approx(1)
    assert correlation(ramp, -ramp, inside) == pytest.approx(-1)
    assert correlation(ramp, np.full_like(ramp, 5), inside) == 0
    assert correlation(ramp, ramp, ~inside) == 0


def test_in_its_place(portrait: np.ndarray) -> None:
    face = face_of(BOX, (), ())
    assert at_place(portrait, jpeg(portrait), face) > 0.97
    assert at_place(portrait, covered(portrait), face) == 0
    assert at_place(portrait, np.ascontiguousarray(portrait[:, ::-1]), face) < 0.5
    # what is around it does not count
    other = np.random.default_rng(0).integers(0, 256, portrait.shape, dtype=np.uint8)
    other[60:200, 170:280] = portrait[60:200, 170:280]
    assert at_place(portrait, other, face) > 0.97


@pytest.mark.parametrize(("dx", "dy"), [(40, 0), (-120, 30), (200, 100)])
def test_elsewhere(portrait: np.ndarray, dx: int, dy: int) -> None:
    face = face_of(BOX, (), ())
    pasted = covered(portrait)
    found = Searched(portrait, pasted).find(face.core)
    assert found is not None
    assert found[0] < 0.8
    pasted[60 + dy : 200 + dy, 170 + dx : 280 + dx] = portrait[60:200, 170:280]
    found = Searched(portrait, jpeg(pasted)).find(face.core)
    assert found is not None
    assert found[0] > 0.95
    assert found[1:] == pytest.approx((dx, dy), abs=3)


def test_small_faces(portrait: np.ndarray) -> None:
    small = cv2.resize(portrait, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    face = face_of(tuple(v * 0.3 for v in BOX), (), ())  # type: ignore[arg-type]
    found = Searched(small, jpeg(small)).find(face.core)
    assert found is not None
    assert found[0] > 0.95
    assert Searched(small, small).find((10, 10, 20, 20)) is None
    assert Searched(np.full_like(small, 90), small).find(face.core) is None
