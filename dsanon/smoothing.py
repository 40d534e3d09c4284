"""Splines over neighbouring frames: a face's landmarks and alignment, steadied, and known between its sightings.

A face is taken apart into its pose (the similarity that takes it to the crop, by its parameters: place, logarithm of
the scale, angle) and its shape (the landmarks in the crop); both are smoothed and put together again. No optical flow
(Maximov et al., section 3.4: landmarks smoothed by spline interpolation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, apply, face_transform, invert, scale_of
from dsanon.sample import Box

Values = npt.NDArray[np.float64]

RATE = 30.0  # the splines' unit of time is 1/30 s
# smoothing parameters: half of an oscillation of 2π λ^(1/4) units is left: 8 frames of the pose, 9 of the shape, 7 of
# the lips, which move with every syllable
POSE, SHAPE, LIPS = 10.0, 10.0, 2.0
LEASH = 4.0  # pixels of the crop by which no point of the outline may move; 5 beyond it are hidden (landmarks.FULL)
_OUTLIER = 6.0  # pixels of the crop by which landmarks may differ from what all other frames tell of them …
_UNUSUAL = 5.0  # … and times the median difference
_OUTLINE = 27  # the first points: jaw and brows
_MIDDLE = np.array([[CROP / 2, CROP / 2]])


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """landmarks: (68, 2) source pixels · transform: (2, 3), source to crop · box: source pixels."""

    landmarks: Values
    transform: Values
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A face through time. times: (n,) seconds, ascending · values: (n, 144): pose, shape, edges of the box

    outliers: (n,) bool: sightings that all others contradict; what the curve says there is told by these.
    """

    times: Values
    values: Values
    outliers: npt.NDArray[np.bool_]

    def at(self, time: float) -> Face:
        """The face at a time between the first and the last sighting (and as at these beyond)."""
        return _together(_between(self.times, self.values, time))


def smooth(times: Values, faces: list[tuple[Values, Box]]) -> Curve:
    """The steadied curve through sightings. times: (n,) seconds, ascending · faces: landmarks and box of each.

    No sighting that is believed moves by more than ``LEASH``, so that what is hidden holds the face as it was seen.
    """
    raw = np.stack([_apart(landmarks, box) for landmarks, box in faces])
    raw[:, 3] = np.unwrap(raw[:, 3])
    good = np.ones(len(raw), bool)
    while True:
        at = np.flatnonzero(good)
        fitted = _fit(times[at], raw[at])
        away = np.array([_away(raw[i], value) for i, value in zip(at, fitted, strict=True)])
        worst = int(away.argmax())
        if len(at) < 5 or good.mean() < 0.75 or away[worst] <= max(_OUTLIER, _UNUSUAL * float(np.median(away))):
            break
        good[at[worst]] = False
    for row, (i, distance) in enumerate(zip(at, away, strict=True)):
        if distance > LEASH:
            fitted[row] += (1 - LEASH / distance) * (raw[i] - fitted[row])
    return Curve(times, np.stack([_between(times[at], fitted, time) for time in times]), ~good)


def spline(times: Values, values: Values, strength: float) -> Values:
    """The natural cubic smoothing spline's values at ``times``: Green and Silverman (1994), section 2.3.

    times: (n,) ascending · values: (n, k) · strength: λ, the weight of the integral of the second derivative's square.
    Of two values or one nothing is smoothed.
    """
    from scipy.linalg import solveh_banded

    n = len(times)
    if n < 3:
        return values.copy()
    h = np.diff(times)
    first, second, third = 1 / h[:-1], -1 / h[:-1] - 1 / h[1:], 1 / h[1:]  # the three diagonals of Q (n × n-2)
    bands = np.zeros((3, n - 2))  # R + λ QᵀQ, upper form
    bands[2] = (h[:-1] + h[1:]) / 3 + strength * (first**2 + second**2 + third**2)
    bands[1, 1:] = h[1:-1] / 6 + strength * (second[:-1] * first[1:] + third[:-1] * second[1:])
    bands[0, 2:] = strength * third[:-2] * first[2:]
    bends = first[:, None] * values[:-2] + second[:, None] * values[1:-1] + third[:, None] * values[2:]
    gamma = solveh_banded(bands[-min(3, n - 2) :], bends)
    out = values.copy()
    out[:-2] -= strength * first[:, None] * gamma
    out[1:-1] -= strength * second[:, None] * gamma
    out[2:] -= strength * third[:, None] * gamma
    return out


def _fit(times: Values, values: Values) -> Values:
    units = times * RATE
    parts = ((values[:, :4], POSE), (values[:, 4:100], SHAPE), (values[:, 100:140], LIPS), (values[:, 140:], SHAPE))
    return np.hstack([spline(units, part, strength) for part, strength in parts])


def _between(times: Values, values: Values, time: float) -> Values:
    """Values (k,) at one time: Akima's spline through the nearest points, which does not overshoot in long gaps."""
    from scipy.interpolate import Akima1DInterpolator

    after = int(np.searchsorted(times, time))
    if after == len(times) or times[after] == time or after == 0:
        return np.array(values[min(after, len(times) - 1)])
    near = slice(max(0, after - 3), after + 3)
    return np.asarray(Akima1DInterpolator(times[near], values[near], method="makima")(time))


def _apart(landmarks: Values, box: Box) -> Values:
    """(144,): pose (x, y of the crop's middle, logarithm of source pixels per crop pixel, angle), shape, box."""
    transform = face_transform(landmarks)
    back = invert(transform)
    scale = scale_of(back)
    centre = apply(back, _MIDDLE)[0]
    edges = (np.asarray(box) - np.tile(centre, 2)) / scale
    angle = np.arctan2(back[1, 0], back[0, 0])
    return np.concatenate([centre, [np.log(scale), angle], apply(transform, landmarks).ravel(), edges])


def _together(values: Values) -> Face:
    centre, scale, angle = values[:2], np.exp(values[2]), values[3]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    back = np.hstack([turn, (centre - turn @ _MIDDLE[0])[:, None]])
    x0, y0, x1, y1 = (float(v) for v in values[140:] * scale + np.tile(centre, 2))
    return Face(apply(back, values[4:140].reshape(68, 2)), invert(back), (x0, y0, x1, y1))


def _away(raw: Values, fitted: Values) -> float:
    """Largest distance of a point of the outline from where it was seen, in pixels of the crop."""
    seen, now = _together(raw), _together(fitted)
    apart = now.landmarks[:_OUTLINE] - seen.landmarks[:_OUTLINE]
    return float(np.hypot(*apart.T).max() / np.exp(raw[2]))
