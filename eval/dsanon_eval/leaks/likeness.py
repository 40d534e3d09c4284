"""Is this face's own texture there? Normalised correlation of band-passed grey values, at a place and all over a photo.

Shading and pose are kept on purpose, so plain correlation of a painted face with its source is high. Between two
Gaussians what is left are the eyes', the skin's and the mouth's own pixels: those a JPEG at quality 75 keeps, and no
other face has.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dsanon.align import apply, warp
from dsanon.landmarks import distance_outside, face_polygon
from dsanon.sample import Box, Mask, Pixels

SIDE = 64  # pixels of the aligned crop that is compared
CORE = 40  # pixels, at most, of a face's inner part, brows to mouth, where it is searched for
SMALL = 24  # an inner part of fewer photo pixels is searched for with its border: there is too little else
LEAST = 12  # an inner part of fewer photo pixels looks like too many other things to be searched for
TRIM = 4  # pixels of its border that are not: where a face was pasted, its surroundings enter the band there
FINE, COARSE = 0.8, 2.0  # sigmas of the band, in pixels of the crop
SAME = 0.7  # a copy has at least this share of the deviation of what it was copied from, at most the inverse
FLAT = 0.25  # grey levels of deviation below which there is no texture
WHOLE, CELL = 256, 8  # pixels: of the longer side of what is compared in cells, and of a cell
TEXTURED, CELLS_LEAST = 3.0, 16  # grey levels of deviation in a cell that an encoder keeps · cells that tell enough
ALIKE = 0.6  # correlation of a cell with its own copy

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Face:
    """Where a face is in a photo. core: its inner part · transform: photo to 128-pixel crop, (2, 3)

    polygon: the hidden outline in photo pixels (n, 2)
    """

    core: Box
    transform: npt.NDArray[np.float64]
    polygon: npt.NDArray[np.float64]


def face_of(box: Box, landmarks: tuple[float, ...], transform: tuple[float, ...]) -> Face:
    """From the 68 landmarks where there are any, else from the box alone."""
    if landmarks and transform:
        points = np.array(landmarks, dtype=np.float64).reshape(68, 2)
        low, high = points[17:].min(0), points[17:].max(0)
        core = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        return Face(core, np.array(transform, np.float64).reshape(2, 3), np.asarray(face_polygon(points), np.float64))
    x0, y0, x1, y1 = box
    w, h = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    # a head's box: the inner face is its middle, below the hair
    core = (x0 + 0.2 * w, y0 + 0.25 * h, x1 - 0.2 * w, y1 - 0.15 * h)
    stretched = np.array([[128 / w, 0, -x0 * 128 / w], [0, 128 / h, -y0 * 128 / h]])
    return Face(core, stretched, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))


def at_place(source: Pixels, release: Pixels, face: Face, within: Mask | None = None) -> float:
    """Correlation in [-1, 1] of both photos' textures inside the hidden outline; 0 where either has none.

    within: (h, w) pixels of the photo outside of which nothing was hidden
    """
    half = face.transform / 2
    inside = distance_outside(apply(half, face.polygon), (SIDE, SIDE)) == 0
    inside &= warp(np.full(source.shape[:2], 255, np.uint8), half, SIDE, pad=0) == 255
    if within is not None:
        inside &= warp(within.astype(np.uint8) * 255, half, SIDE, pad=0) == 255
    a, b = (_texture(_grey(warp(pixels, half, SIDE)), inside) for pixels in (source, release))
    return correlation(a, b, inside)


def correlation(a: Floats, b: Floats, inside: Mask) -> float:
    """Of the values ``inside``, their means taken off; 0 where one of them is flat."""
    u, v = a[inside], b[inside]
    if u.size < LEAST:
        return 0.0
    u, v = u - u.mean(), v - v.mean()
    if min(u.std(), v.std()) < FLAT:
        return 0.0
    return float((u @ v) / np.sqrt((u @ u) * (v @ v)))


class Searched:
    """A released photo at the scales at which faces are searched for in it; each is made once."""

    def __init__(self, source: Pixels, release: Pixels) -> None:
        self._grey = (_grey(source), _grey(release))
        self._bands: dict[int, tuple[Floats, Floats]] = {}

    def find(self, core: Box) -> tuple[float, float, float] | None:
        """Where the source's ``core`` is likeliest in the release: (correlation, dx, dy), how many pixels away.

        None for a core that is too small, or flat, to be known again.
        """
        height, width = self._grey[0].shape
        x0, y0, x1, y1 = max(core[0], 0.0), max(core[1], 0.0), min(core[2], width), min(core[3], height)
        side = min(x1 - x0, y1 - y0)
        if side < LEAST:
            return None
        octave = max(0, int(np.floor(2 * np.log2(side / (CORE / 2**0.5)))))  # steps of half an octave
        scale = 2 ** (-octave / 2)
        source, release = self._at(octave, scale)
        sx, sy = source.shape[1] / width, source.shape[0] / height
        trim = TRIM if side >= SMALL else 0
        left, top = round(x0 * sx + trim), round(y0 * sy + trim)
        template = source[top : max(round(y1 * sy - trim), top + 1), left : max(round(x1 * sx - trim), left + 1)]
        if template.std() < FLAT or any(t > r for t, r in zip(template.shape, release.shape, strict=True)):
            return None
        scores = cv2.matchTemplate(release, template, cv2.TM_CCOEFF_NORMED)
        # a copy has the contrast of what it was copied from; where the release is flat, the quotient is mere rounding
        there = _deviations(release, template.shape)
        scores[(there < SAME * template.std()) | (there * SAME > template.std())] = -1
        _, best, _, (x, y) = cv2.minMaxLoc(np.nan_to_num(scores, nan=-1))
        return float(min(best, 1.0)), (x - left) / sx, (y - top) / sy

    def _at(self, octave: int, scale: float) -> tuple[Floats, Floats]:
        if octave not in self._bands:
            one, other = (_band(grey, scale) for grey in self._grey)
            self._bands[octave] = one, other
        return self._bands[octave]


def other_texture(source: Pixels, release: Pixels) -> float:
    """Share of the textured cells of two pictures, of one size, whose texture differs; 1 where there are too few.

    Neither brightness nor contrast counts: a cell is the same if its values correlate, and if its contrast changed as
    that of most others did. Pictures larger than ``WHOLE`` are reduced.
    """
    scale = min(1.0, WHOLE / max(source.shape[:2]))
    a, b = (_cells(_band(_grey(pixels), scale)) for pixels in (source, release))
    u, v = a.std(axis=1), b.std(axis=1)
    textured = np.maximum(u, v) >= TEXTURED
    if textured.sum() < CELLS_LEAST:
        return 1.0
    both = u * v
    alike = np.where(both > 0, (a * b).mean(axis=1) - a.mean(axis=1) * b.mean(axis=1), 0) / np.maximum(both, 1e-6)
    gain = v[textured] / np.maximum(u[textured], 1e-6)
    gain /= max(float(np.median(gain)), 1e-6)
    same = (alike[textured] >= ALIKE) & (gain >= SAME) & (gain <= 1 / SAME)
    return float(1 - same.mean())


def _cells(band: Floats) -> Floats:
    """(n, CELL * CELL) values of the whole cells of a band."""
    rows, columns = band.shape[0] // CELL, band.shape[1] // CELL
    whole = band[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    return np.asarray(whole.swapaxes(1, 2).reshape(rows * columns, CELL * CELL), np.float32)


def _band(grey: Floats, scale: float) -> Floats:
    """What lies between two Gaussians, of a picture reduced by ``scale``."""
    if scale < 1:
        h, w = grey.shape
        size = max(1, round(w * scale)), max(1, round(h * scale))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), FINE) - cv2.GaussianBlur(grey, (0, 0), COARSE), np.float32)


def _deviations(band: Floats, shape: tuple[int, ...]) -> Floats:
    """Standard deviation of every window of ``shape`` (h, w) of ``band``, by the window's upper left corner."""
    height, width = shape
    sums = [cv2.boxFilter(v, cv2.CV_64F, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
            for v in (band, band * band)]  # fmt: skip
    mean, square = (v[: band.shape[0] - height + 1, : band.shape[1] - width + 1] for v in sums)
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0)), np.float32)


def _grey(pixels: Pixels) -> Floats:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def _texture(grey: Floats, inside: Mask) -> Floats:
    """The band of what is ``inside``, taken from these pixels alone: what surrounds a painted face is the source's."""
    weight = inside.astype(np.float32)
    return _smooth(grey, weight, FINE) - _smooth(grey, weight, COARSE)


def _smooth(grey: Floats, weight: Floats, sigma: float) -> Floats:
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    return np.asarray(cv2.GaussianBlur(grey * weight, (0, 0), sigma) / np.maximum(total, 1e-6), np.float32)
