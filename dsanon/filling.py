"""A track made whole: steadied where it was seen, filled where it was missed, extended beyond its ends.

Fails closed. A face that detectors saw stays covered where they saw it, whatever the spline says; and a track that
starts late or ends early is extended until geometry says that nobody is there (out of the frame, a scene cut) or the
detectors have said so for long enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from dsanon import boxes
from dsanon.sample import TRACK, Box, Region
from dsanon.smoothing import POSE, RATE, Curve, Face, Values, smooth, spline
from dsanon.tracks import GAP

FILLED = "filled in from frames before and after"
EXTENDED = "extended from the neighbouring frames"
# seconds without a detection after which nobody is taken to be there: of a face that was surely seen, and of one
# that a single detector saw once or twice
SURE, UNSURE = 0.5, 0.2
_SIGHTINGS = 3
_TAU = 0.15  # seconds in which a motion that nobody sees any more dies away
_HELD = 0.7  # a filled face must cover so much of what a detector saw at its place
_GROWN = 1.4  # how much larger than its face the box of one is that could not be aligned (regions.grown)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Neighbouring frames. times: seconds, ascending · scenes: number of each frame's · sizes: (width, height)

    blind: frames of which no picture was read: nothing is known of them, and nothing of them is released.
    """

    times: Values
    scenes: Sequence[int]
    sizes: Sequence[tuple[int, int]]
    blind: Collection[int] = ()


def whole(view: View, seen: Mapping[int, Region], known: Collection[int] = ()) -> dict[int, Region]:
    """A track's regions, by frame, from those that detectors saw (at least one).

    known: frames in which the source tells where the person is although no face was seen: the track is not extended
    into them, for they are covered in another way (:mod:`dsanon.missed`).
    """
    out = _steady_boxes(view, seen)
    for run in runs(view, sorted(i for i in seen if seen[i].landmarks)):
        curve = smooth(view.times[run], [(_points(seen[i]), seen[i].box) for i in run])
        out |= _painted(view, run, curve, seen)
    return lasting(view, out, seen, known)


def lasting(
    view: View, there: Mapping[int, Region], seen: Mapping[int, Region], known: Collection[int] = ()
) -> dict[int, Region]:
    """A track's regions, by frame, from those that are ``there``: with those between them and beyond the ends.

    seen: those that were seen, by which it is sure or not · known: as in :func:`whole`
    """
    out = {**there, **_between(view, there)}
    for run in runs(view, sorted(out)):
        sure = _is_sure([seen[i] for i in run if i in seen])
        for last in (False, True):
            out |= dict(_extended(view, run, out, last, SURE if sure else UNSURE, {*out, *known}))
    return {i: region for i, region in out.items() if i not in view.blind}


def _painted(view: View, run: Sequence[int], curve: Curve, seen: Mapping[int, Region]) -> dict[int, Region]:
    """The frames from the first to the last of ``run`` in which the curve's face is believed."""
    out = {}
    outliers = {i for i, outlier in zip(run, curve.outliers, strict=True) if outlier}
    for i in range(run[0], run[-1] + 1):
        face, region = curve.at(view.times[i]), seen.get(i)
        if region is not None and region.landmarks and i not in outliers:
            out[i] = _with_face(region, face)
        elif region is None:
            nearest = min(run, key=lambda j: (abs(j - i), j))
            out[i] = _with_face(replace(seen[nearest], detector=TRACK, score=0.0, note=FILLED), face)
        elif _holds(face, region):
            out[i] = _with_face(replace(region, reason="", note=FILLED), face)
    return out


def _holds(face: Face, region: Region) -> bool:
    """Whether a face told by other frames covers what the detectors saw at its place."""
    seen = region.box if region.landmarks else boxes.expand(region.box, 1 / _GROWN)[0]
    return bool(boxes.intersection([face.box], seen)[0, 0] >= _HELD * boxes.area(seen)[0])


def _steady_boxes(view: View, seen: Mapping[int, Region]) -> dict[int, Region]:
    """The sightings, the boxes of those without landmarks steadied; none leaves its own face."""
    out = dict(seen)
    for run in runs(view, sorted(i for i in seen if not seen[i].landmarks)):
        raw = np.array([seen[i].box for i in run])
        middle, sides = (raw[:, :2] + raw[:, 2:]) / 2, np.log(raw[:, 2:] - raw[:, :2])
        steady = spline(view.times[run] * RATE, np.hstack([middle, sides]), POSE)
        half = np.exp(steady[:, 2:]) / 2
        for i, box in zip(run, np.hstack([steady[:, :2] - half, steady[:, :2] + half]), strict=True):
            out[i] = replace(seen[i], box=_box(boxes.hull([box, boxes.expand(seen[i].box, 1 / _GROWN)[0]])[0]))
    return out


def _between(view: View, known: Mapping[int, Region]) -> dict[int, Region]:
    """The frames between others of which one at least has no landmarks: its box, on its way to the other's."""
    out = {}
    for run in runs(view, sorted(known)):
        for before, after in pairwise(run):
            for i in range(before + 1, after):
                share = (view.times[i] - view.times[before]) / (view.times[after] - view.times[before])
                box = (1 - share) * np.array(known[before].box) + share * np.array(known[after].box)
                model = known[before] if not known[before].landmarks else known[after]
                out[i] = replace(_boxed(model), box=_box(box), detector=TRACK, score=0.0, note=FILLED)
    return out


def _extended(
    view: View, run: Sequence[int], known: Mapping[int, Region], last: bool, reach: float, taken: Collection[int]
) -> Iterator[tuple[int, Region]]:
    """The frames behind the end of ``run`` (or before its beginning) in which somebody may still be."""
    end, step = (run[-1], 1) if last else (run[0], -1)
    region, speed = known[end], _speed(view, run, known, last)
    i = end + step
    while 0 <= i < len(view.times) and abs(view.times[i] - view.times[end]) <= reach:
        if i in taken or view.scenes[i] != view.scenes[end]:
            return
        elapsed = view.times[i] - view.times[end]
        moved = _moved(region, speed * _TAU * np.sign(elapsed) * (1 - np.exp(-abs(elapsed) / _TAU)))
        width, height = view.sizes[i]
        x, y = (moved.box[0] + moved.box[2]) / 2, (moved.box[1] + moved.box[3]) / 2
        if i not in view.blind and not (0 <= x < width and 0 <= y < height):
            return
        yield i, replace(moved, detector=TRACK, score=0.0, note=EXTENDED)
        i += step


def _speed(view: View, run: Sequence[int], known: Mapping[int, Region], last: bool) -> Values:
    """Pixels a second (2,) of the box's middle over the last (or first) tenth of a second, three frames at least."""
    end = run[-1] if last else run[0]
    near = [i for i in run if abs(view.times[i] - view.times[end]) <= 0.1]
    near = near if len(near) >= _SIGHTINGS else list(run[-_SIGHTINGS:] if last else run[:_SIGHTINGS])
    if len(near) < _SIGHTINGS:
        return np.zeros(2)
    first, final = (np.add(known[i].box[:2], known[i].box[2:]) / 2 for i in (near[0], near[-1]))
    return np.asarray((final - first) / (view.times[near[-1]] - view.times[near[0]]))


def runs(view: View, frames: Sequence[int]) -> list[list[int]]:
    """``frames``, ascending, in runs: of one scene each, without a longer gap than ``GAP``."""
    out: list[list[int]] = []
    for i in frames:
        if out and view.scenes[out[-1][-1]] == view.scenes[i] and view.times[i] - view.times[out[-1][-1]] <= GAP:
            out[-1].append(i)
        else:
            out.append([i])
    return out


def _is_sure(sightings: Sequence[Region]) -> bool:
    """Seen several times, or by two detectors at once."""
    detectors = [set(region.detector.split("+")) - {"annotation"} for region in sightings]
    return len(sightings) >= _SIGHTINGS or any(len(names) > 1 for names in detectors)


def _with_face(region: Region, face: Face) -> Region:
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    box = _box(boxes.hull([face.box, (*low, *high)])[0])
    landmarks, transform = tuple(map(float, face.landmarks.ravel())), tuple(map(float, face.transform.ravel()))
    return replace(region, box=box, landmarks=landmarks, transform=transform, reason="")


def _boxed(region: Region) -> Region:
    return replace(region, landmarks=(), transform=())


def _moved(region: Region, shift: Values) -> Region:
    box = _box(np.array(region.box) + np.tile(shift, 2))
    if not region.landmarks:
        return replace(region, box=box)
    transform = np.array(region.transform).reshape(2, 3)
    transform[:, 2] -= transform[:, :2] @ shift
    landmarks = tuple(float(v) for v in (_points(region) + shift).ravel())
    return replace(region, box=box, landmarks=landmarks, transform=tuple(float(v) for v in transform.ravel()))


def _points(region: Region) -> Values:
    return np.array(region.landmarks, dtype=np.float64).reshape(68, 2)


def _box(values: Values) -> Box:
    x0, y0, x1, y1 = (float(v) for v in values)
    return x0, y0, x1, y1
