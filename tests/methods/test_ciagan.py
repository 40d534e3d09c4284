"""The painter on the generator that ships."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from faces import drawn_landmarks

from dsanon.align import face_transform
from dsanon.methods.ciagan import Crop, Painter, make_crop
from dsanon.models import store
from dsanon.plan import Control


@pytest.fixture(scope="module")
def crop() -> Crop:
    """A face in the astronaut's portrait, hidden."""
    from skimage import data

    photo = np.ascontiguousarray(data.astronaut()[:256, 96:352])
    points = drawn_landmarks(128, 125, 95)
    taken = np.zeros(photo.shape[:2], np.uint8)
    return make_crop(photo, taken, points, points, face_transform(points), Control((3,), (1.0,)))


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(store.SHIPPED / "ciagan-face.safetensors", "cpu", 16)


def test_a_black_and_white_photo_stays_one(painter: Painter, crop: Crop) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    tinted = grey.copy()
    tinted[..., 0] = np.clip(tinted[..., 0].astype(int) + 40, 0, 255)
    in_colour, in_grey, in_sepia = painter([crop, replace(crop, pixels=grey), replace(crop, pixels=tinted)])
    assert np.ptp(in_grey, axis=2).max() == 0
    assert np.ptp(in_grey[crop.hidden].mean(axis=1)) > 40  # a face all the same
    assert np.ptp(in_colour, axis=2).mean() > 10
    assert np.ptp(in_sepia, axis=2).mean() > 10


def test_a_face_is_the_same_whoever_else_is_painted_with_it(painter: Painter, crop: Crop) -> None:
    other = replace(crop, pixels=crop.pixels[::-1].copy(), control=Control((5, 6), (0.5, 0.5)))
    (alone,) = painter([crop])
    among = painter([other, crop, other, other])
    assert np.array_equal(among[1], alone)
    assert not np.array_equal(among[0], alone)


def test_the_compiled_network_paints_the_trained_networks_face(
    painter: Painter, crop: Crop, monkeypatch: pytest.MonkeyPatch
) -> None:
    (compiled,) = painter([crop])
    monkeypatch.setattr(painter, "_forward", None)  # PyTorch instead
    (eager,) = painter([crop])
    assert np.abs(compiled.astype(int) - eager).max() <= 1  # half a level may fall on either side of a rounding
    assert (compiled != eager).mean() < 0.02
