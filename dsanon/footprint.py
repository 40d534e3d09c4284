"""Which pixels of a photo a region covers: a window, and in it the share that is replaced."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dsanon import bodies
from dsanon.align import CROP, Floats, Transform, scale_of
from dsanon.landmarks import FEATHER, FULL, blend_weight, distance_outside, distance_to, face_polygon
from dsanon.sample import Box, Mask, Region

_FACE_IN_CROP = 0.8  # a head box is about so much of a face crop's side
_HAIR = 3  # crop pixels by which the silhouette of somebody whose head is looked for is dilated
_GROW = 0.12  # a classical method covers the face's polygon and so much of its box more on each side


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """x0, y0: the window's corner · weight: (h, w) float32, 1 where no source pixel may survive, 0 outside

    unit: photo pixels for one pixel of a 128-pixel crop of this region.
    """

    x0: int
    y0: int
    weight: Floats
    unit: float

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the photo."""
        h, w = self.weight.shape
        return slice(self.y0, self.y0 + h), slice(self.x0, self.x0 + w)

    @property
    def hard(self) -> Mask:
        """Pixels that must not survive."""
        return np.asarray(self.weight >= 1.0)

    def meets(self, other: Footprint) -> bool:
        """Whether the windows overlap."""
        mine, theirs = self.window, other.window
        return all(a.start < b.stop and b.start < a.stop for a, b in zip(mine, theirs, strict=True))


def footprint(region: Region, width: int, height: int, soft: bool, shape: Transform | None = None) -> Footprint:
    """The pixels of ``region`` in a ``width`` × ``height`` photo.

    soft: with a feathered border along the outline, as what is painted needs; else whole boxes, and silhouettes
    without one.
    shape: (68, 2) photo pixels of the face that is painted, where it has another outline: both are covered.
    Never empty: a region always covers at least one pixel of the photo.
    """
    if region.landmarks and region.transform:
        transform = np.array(region.transform, dtype=np.float64).reshape(2, 3)
        unit = 1.0 / scale_of(transform)
        polygon = face_polygon(np.array(region.landmarks, dtype=np.float32).reshape(68, 2))
        if soft:
            outlines = [polygon] if shape is None else [polygon, face_polygon(shape)]
            reach = (FULL + FEATHER) * unit + 1
            low, high = np.min(outlines, axis=(0, 1)) - reach, np.max(outlines, axis=(0, 1)) + reach
            x0, y0, x1, y1 = _window((low[0], low[1], high[0], high[1]), width, height)
            distance = distance_outside(outlines, (y1 - y0, x1 - x0), (x0, y0))
            return Footprint(x0, y0, blend_weight(distance, unit), unit)
        low, high = polygon.min(0), polygon.max(0)
        grow = _GROW * (high - low)
        low, high = low - grow, high + grow
        return _box((low[0], low[1], high[0], high[1]), width, height, unit)
    if soft and region.kind == "body":
        return _painted_body(region, width, height)
    side = max(region.box[2] - region.box[0], region.box[3] - region.box[1])
    unit = max(side / (_FACE_IN_CROP if region.kind == "face" else 1.0) / CROP, 1e-3)
    if region.silhouette is not None:
        return _silhouette(region, width, height, unit)
    area = _box(region.box, width, height, unit)
    return Footprint(area.x0, area.y0, oval(*area.weight.shape).astype(np.float32), unit) if region.oval else area


def oval(height: int, width: int) -> Mask:
    """(height, width) the pixels that the ellipse in this box touches with their middle; never none."""
    y, x = ((np.arange(n) + 0.5) / n * 2 - 1 for n in (height, width))
    return np.asarray(y[:, None] ** 2 + x**2 <= 1)


def _window(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0 = (int(np.clip(np.floor(v), 0, limit - 1)) for v, limit in zip(box[:2], (width, height), strict=True))
    x1, y1 = (
        int(np.clip(np.ceil(v), low + 1, limit))
        for v, low, limit in zip(box[2:], (x0, y0), (width, height), strict=True)
    )
    return x0, y0, x1, y1


def _box(box: Box, width: int, height: int, unit: float) -> Footprint:
    x0, y0, x1, y1 = _window(box, width, height)
    return Footprint(x0, y0, np.ones((y1 - y0, x1 - x0), np.float32), unit)


def _painted_body(region: Region, width: int, height: int) -> Footprint:
    """The silhouette, dilated, with a soft border. Raises ValueError where there is no crop of it."""
    mask = body_mask(region)
    unit = 1.0 / scale_of(np.array(region.transform, dtype=np.float64).reshape(2, 3))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    upright = bodies.upright_unit(rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0])
    full, feather = max(bodies.LEAST, bodies.FULL * upright), bodies.FEATHER * upright
    reach = full + feather + 1
    box = (columns[0] - reach, rows[0] - reach, columns[-1] + 1 + reach, rows[-1] + 1 + reach)
    x0, y0, x1, y1 = _window(box, width, height)
    distance = distance_to(mask[y0:y1, x0:x1])
    return Footprint(x0, y0, blend_weight(distance, 1.0, full, feather), unit)


def body_mask(region: Region) -> Mask:
    """The silhouette (h, w) of a body that can be painted. Raises ValueError for another region."""
    from dsanon.sources.silhouettes import to_mask

    if region.silhouette is None or not region.transform:
        raise ValueError("a body to paint needs a silhouette and a transform")
    return to_mask(region.silhouette)


def _silhouette(region: Region, width: int, height: int, unit: float) -> Footprint:
    """The silhouette, dilated: annotators cut hair and shoe soles off. Of a head's, what lies in its box."""
    from dsanon.sources.silhouettes import to_mask

    assert region.silhouette is not None
    mask = to_mask(region.silhouette).astype(np.uint8)
    if mask.shape != (height, width) or not mask.any():
        return _box(region.box, width, height, unit)
    radius = max(2, round((_HAIR if region.kind == "face" else 2) * unit))
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
    if region.kind == "face":
        x0, y0, x1, y1 = region.box
        x0, y0, x1, y1 = _window((x0 - radius, y0 - radius, x1 + radius, y1 + radius), width, height)
        inside = np.zeros_like(grown)
        inside[y0:y1, x0:x1] = grown[y0:y1, x0:x1]
        grown = inside
        if not grown.any():
            return _box(region.box, width, height, unit)
    rows, columns = np.flatnonzero(grown.any(axis=1)), np.flatnonzero(grown.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return Footprint(x0, y0, grown[y0:y1, x0:x1].astype(np.float32), unit)
