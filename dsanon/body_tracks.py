"""Bodies of a sequence: a person's crops steadied from frame to frame, as faces' are. Silhouettes stay as they are.

A step or a raised arm changes the silhouette's box, and with it the place and the scale of its crop: what is painted
would breathe. Place and scale follow a spline instead, so far as the silhouette stays inside the crop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from dsanon.bodies import ROOM, SIZE
from dsanon.filling import View, runs
from dsanon.sample import Region
from dsanon.smoothing import POSE, RATE, Values, spline
from dsanon.sources.silhouettes import box_of

_MIDDLE = (np.array(SIZE[::-1]) - 1) / 2
_REACH = (_MIDDLE + 0.5) / ROOM  # x and y in the crop, from its middle, that a silhouette may reach
_NEAR = 9  # frames


def steadied(view: View, bodies: Mapping[int, Region]) -> dict[int, Region]:
    """One person's bodies, by frame, with steady crops; those that are not painted stay as they are."""
    out = dict(bodies)
    for run in runs(view, sorted(i for i, body in bodies.items() if body.transform and body.silhouette)):
        if len(run) > 2:
            for i, transform in zip(run, _crops(view.times[run] * RATE, [bodies[i] for i in run]), strict=True):
                out[i] = replace(bodies[i], transform=transform)
    return out


def _crops(times: Values, bodies: Sequence[Region]) -> Iterator[tuple[float, ...]]:
    """Steady transforms. The scale follows the least that neighbouring frames have room for."""
    from scipy.ndimage import minimum_filter1d

    places = spline(times, np.array([_place(body) for body in bodies]), POSE)
    most = np.array([_room(body, place) for body, place in zip(bodies, places, strict=True)])
    least = minimum_filter1d(most, size=_NEAR, mode="nearest")
    scales = np.exp(np.minimum(spline(times, least[:, None], POSE)[:, 0], most))
    for place, scale in zip(places, scales.tolist(), strict=True):
        x, y = (_MIDDLE - scale * place).tolist()
        yield scale, 0.0, x, 0.0, scale, y


def _place(body: Region) -> Values:
    """(2,): what of the photo is in the middle of the crop."""
    scale, x, y = body.transform[0], body.transform[2], body.transform[5]
    return np.array([(_MIDDLE[0] - x) / scale, (_MIDDLE[1] - y) / scale])


def _room(body: Region, place: Values) -> float:
    """The logarithm of the largest scale at which the silhouette is inside of the crop about ``place``."""
    assert body.silhouette is not None
    away = np.abs(np.array(box_of(body.silhouette)).reshape(2, 2) - place).max(axis=0)
    return float(np.log((_REACH / np.maximum(away, 1.0)).min()))
