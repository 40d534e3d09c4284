"""dlib's 68 landmarks, the landmark image, and the region of a face that is hidden.

The landmark image shows jaw, bridge of the nose and mouth, no eyes and no brows (Maximov et al., section 3.1).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, Floats
from dsanon.sample import Box, Mask, Pixels

# radii in pixels of the 128-pixel crop, measured from the jaw-and-brow polygon
FULL = 5.0  # up to here not one source pixel survives
HIDDEN = 6.0  # up to here the generator sees nothing
FEATHER = 5.0  # from FULL on, painted and source pixels mix over this width
_FOREHEAD = 0.5  # the polygon reaches above the brows by this share of the height from the tip of the nose to its root
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates

_JAW = np.arange(17)
_BRIDGE = np.arange(27, 31)
_OUTER_LIP = np.r_[48:60, 48]
_INNER_LIP = np.r_[60:68, 60]


class Landmarker:
    """dlib's 68-point shape predictor (Kazemi and Sullivan 2014), loaded from ``path``."""

    def __init__(self, path: Path) -> None:
        import dlib

        self._rectangle = dlib.rectangle
        self._predictor = dlib.shape_predictor(str(path))

    def __call__(self, pixels: Pixels, box: Box) -> Floats:
        """(68, 2) float32 source pixels for a face in ``box``, the square dlib's HOG detector would report."""
        shape = self._predictor(pixels, self._rectangle(*(round(v) for v in (box[0], box[1], box[2] - 1, box[3] - 1))))
        return np.array([[p.x, p.y] for p in shape.parts()], dtype=np.float32)


def draw(points: npt.ArrayLike, size: int = CROP) -> npt.NDArray[np.uint8]:
    """The landmark image (size, size, 3) of (68, 2) crop points: jaw, nose bridge and mouth, a channel each."""
    p = np.rint(np.asarray(points, dtype=np.float64).reshape(68, 2) * (1 << _SHIFT)).astype(np.int32)
    image = np.zeros((size, size, 3), np.uint8)
    for channel, parts in enumerate(([_JAW], [_BRIDGE], [_OUTER_LIP, _INNER_LIP])):
        plane = np.zeros((size, size), np.uint8)
        cv2.polylines(plane, [p[part] for part in parts], False, 255, 1, cv2.LINE_AA, _SHIFT)
        image[..., channel] = plane
    return image


def face_polygon(points: npt.ArrayLike) -> Floats:
    """The jaw and, above the brows, a share of the forehead: (27, 2), in the space of ``points``."""
    p = np.asarray(points, dtype=np.float32).reshape(68, 2)
    brows = p[26:16:-1]
    up = p[27] - p[33]  # from the nose's tip to its root
    return np.concatenate([p[:17], brows + _FOREHEAD * up])


def distance_outside(polygons: npt.ArrayLike, shape: tuple[int, int], origin: tuple[int, int] = (0, 0)) -> Floats:
    """Distance in pixels from each pixel of an (h, w) window at ``origin`` (x, y) to a polygon; 0 inside.

    polygons: (n, 2), or (k, n, 2), the nearest of which counts
    """
    p = np.asarray(polygons, dtype=np.float64) - origin
    fixed = np.rint(np.clip(p, -16000, 16000) * (1 << _SHIFT)).astype(np.int32)
    plane = np.zeros(shape, np.uint8)
    for outline in fixed.reshape(-1, *p.shape[-2:]):
        cv2.fillPoly(plane, [cv2.convexHull(outline)], 1, cv2.LINE_8, _SHIFT)
    return distance_to(plane > 0)


def distance_to(mask: Mask) -> Floats:
    """Distance in pixels from each pixel to the nearest one of an (h, w) mask; 0 inside, infinite without any."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    plane = np.where(mask, np.uint8(0), np.uint8(255))
    distance = cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    # OpenCV's root differs in its last bits from call to call, with the place in memory; squares are whole numbers
    return np.asarray(np.sqrt(np.rint(distance * distance)), dtype=np.float32)


def blend_weight(distance: Floats, unit: float = 1.0, full: float = FULL, feather: float = FEATHER) -> Floats:
    """Share of the painted pixel: 1 up to ``full``, falling to 0 over ``feather``. unit: pixels per crop pixel."""
    return np.asarray(np.clip(1.0 - (distance / unit - full) / feather, 0.0, 1.0), dtype=np.float32)


def hidden_from_generator(distance: Floats, hidden: float = HIDDEN) -> Mask:
    """Pixels of the crop that the generator never sees."""
    return np.asarray(distance <= hidden)
