"""Heads of annotated people whose face was missed in some frames: covered by what their other frames tell.

A body's box alone says little of where the head is (:mod:`dsanon.heads`), so that the cover is large. Where the same
person's face was seen in a neighbouring frame and the body has the same posture, the head is where it was on the body:
the cover is small, and moves as the body does. In doubt the large cover stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dsanon import boxes
from dsanon.filling import View
from dsanon.regions import as_box
from dsanon.sample import Box, Region, Rle
from dsanon.smoothing import Values

NEAR = 1.0  # seconds within which a sighting tells of a missed head
# a face's box in shares of itself: how much more is head on the left, above, on the right, below
_HEAD = (0.25, 0.45, 0.25, 0.2)
_SPARE, _SPARE_GROWS = 1.15, 0.8  # the cover in head sizes: in the frame of a sighting, and a second away
_POSTURE = 0.2  # logarithm of height and of shape by which a body may differ and still have the same posture
_WITHIN = 0.6  # share of the new cover that must lie in the large one, else they contradict each other

NOTE = "head told by neighbouring frames"


def covers(
    view: View, bodies: Mapping[int, Box], seen: Mapping[int, Region], missed: Mapping[int, Region]
) -> dict[int, Region]:
    """New covers for ``missed``, those of them that can be told better.

    All by frame, of one person: bodies: the annotated boxes · seen: the face as detectors saw it, steadied ·
    missed: the covers of frames without.
    """
    heads = {i: _on_body(_head(seen[i].box), bodies[i]) for i in seen if i in bodies}
    out = {}
    for i, region in missed.items():
        around = (max((j for j in heads if j < i), default=None), min((j for j in heads if j > i), default=None))
        near = [j for j in around if j is not None and i in bodies and _comparable(view, bodies, i, j)]
        if near:
            cover = _cover(view, [(heads[j], j) for j in near], bodies[i], i)
            large = boxes.intersection([cover], [region.box])[0, 0]
            if large >= _WITHIN * boxes.area([cover])[0] and boxes.area([cover])[0] < boxes.area([region.box])[0]:
                out[i] = replace(region, box=cover, silhouette=None, oval=False, note=NOTE)
    return out


def anywhere(
    view: View, bodies: Mapping[int, Box], silhouettes: Mapping[int, Rle], missed: Mapping[int, Region]
) -> dict[int, Region]:
    """``missed`` made whole bodies where a neighbouring frame says that the head may be anywhere in the body.

    A body's shape alone takes somebody who stands on their head for somebody who stands. What they do in the frames
    around tells that they are no pedestrian, and the cover does not leap between the frames.
    """
    whole = [i for i, region in missed.items() if i in bodies and region.box[3] >= bodies[i][3] - 1]
    out = {}
    for i in missed.keys() & bodies.keys() - set(whole):
        if any(abs(view.times[i] - view.times[j]) <= NEAR and view.scenes[i] == view.scenes[j] for j in whole):
            out[i] = replace(missed[i], box=bodies[i], silhouette=silhouettes.get(i), oval=False)
    return out


def _cover(view: View, heads: list[tuple[Values, int]], body: Box, i: int) -> Box:
    """A box about the head, interpolated in the body's coordinates; larger the farther its sightings are."""
    apart = [abs(view.times[j] - view.times[i]) for _, j in heads]
    weights = apart[::-1] if len(heads) == 2 else None  # the nearer one counts more
    middle = np.average([head for head, _ in heads], axis=0, weights=weights)
    height = body[3] - body[1]
    centre = np.array([(body[0] + body[2]) / 2, body[1]]) + middle[:2] * height
    half = np.exp(middle[2:]) * height / 2 * (_SPARE + _SPARE_GROWS * min(apart))
    return as_box([*(centre - half), *(centre + half)])


def _comparable(view: View, bodies: Mapping[int, Box], i: int, j: int) -> bool:
    """Whether the body has one posture in all the frames from ``i`` to ``j``, near each other and of one scene."""
    if abs(view.times[i] - view.times[j]) > NEAR or view.scenes[i] != view.scenes[j]:
        return False
    span = [bodies.get(k) for k in range(min(i, j), max(i, j) + 1)]
    if any(box is None for box in span):
        return False
    sizes = np.log([(box[2] - box[0], box[3] - box[1]) for box in span if box is not None])
    heights, shapes = sizes[:, 1], sizes[:, 1] - sizes[:, 0]
    return bool(np.ptp(heights) <= _POSTURE and np.ptp(shapes) <= _POSTURE)


def _head(face: Box) -> Box:
    x0, y0, x1, y1 = face
    left, above, right, below = _HEAD
    w, h = x1 - x0, y1 - y0
    return x0 - left * w, y0 - above * h, x1 + right * w, y1 + below * h


def _on_body(head: Box, body: Box) -> Values:
    """(4,): the head's middle from the middle of the body's top, in body heights, and logarithms of its sides."""
    height = body[3] - body[1]
    x, y = (head[0] + head[2]) / 2, (head[1] + head[3]) / 2
    sides = np.log(np.array([head[2] - head[0], head[3] - head[1]]) / height)
    return np.array([(x - (body[0] + body[2]) / 2) / height, (y - body[1]) / height, *sides])
