"""Where the heads of annotated people are, and which detected face is whose.

Only some sources know heads. Of the others a body's shape tells how much of it may be head: of somebody who stands it
is the top, of somebody who sits, crouches, lies or is seen from near by it may be anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.sample import Box, Mask, Person, Region
from dsanon.shapes import FEEBLE

# Seen in 600 boxes of MOT17, COCO and a MOTS crowd: from a height of 2.4 widths on the head is in the top quarter;
# below 1.3 widths it may be anywhere (crouching, head and shoulders, lying, upside down)
_TALL, _TOP = 2.4, 0.26
_WIDE = 1.3
_SLIM = 3.9  # a body that is higher than so many widths is hardly wider than its head
_SPECK = (8.0, 16.0)  # pixels of width or height below which a body is covered as a whole
_CLEAR = 0.4  # a silhouette of which more than this may be head is covered as a whole: handstands, people cut off below
_HAIR = 0.02  # of the height: annotators' boxes cut hair off
_SAME_BODY = 0.6  # share of the middle of a face that must lie on the silhouette
NEVER = 1e6


@dataclass(frozen=True, slots=True)
class Expected:
    """Where the centre of a person's face is expected, and how long its longer side is, in pixels.

    reach: x and y distances at which it fits badly · limit: how many reaches away it may be
    least, most: the side may be so many times ``side``
    """

    centre: tuple[float, float]
    reach: tuple[float, float]
    side: float
    limit: float
    least: float
    most: float


def extent(person: Person) -> Box | None:
    """The person's box, or their silhouette's; None where neither is known."""
    from dsanon.sources.silhouettes import box_of

    if person.body is not None or person.silhouette is None:
        return person.body
    return box_of(person.silhouette)


def top_share(body: Box) -> float:
    """Share of the body's height, from the top, that holds the whole head: from ``_TOP`` to 1."""
    width, height = body[2] - body[0], body[3] - body[1]
    if width < _SPECK[0] or height < _SPECK[1]:
        return 1.0
    return float(np.interp(height / width, [_WIDE, _TALL], [1.0, _TOP]))


def is_oval(person: Person, width: int, height: int) -> bool:
    """Whether the corners of :func:`head_box` hold no head: somebody stands, of whom the whole box is in the photo.

    A head is round and seldom far from the middle, and shoulders are what pedestrian detectors live by. Of the 395
    possible faces that three detectors find in 12 frames of MOT17 at low thresholds, the box hides 333 to 0.8 and more,
    the ellipse in it 329 (one of them was hidden to 0.9 before), one of 0.8 its width 325.
    """
    body = person.body
    if person.head is not None or person.silhouette is not None or body is None or top_share(body) > _TOP:
        return False
    x0, y0, x1, y1 = body
    whole = x0 > 0 and y0 > 0 and x1 < width
    return bool(whole and y1 - y0 <= _SLIM * (x1 - x0))


def head_box(person: Person) -> Box | None:
    """A box that holds the person's whole head, rather too large; it may reach over the photo's edge.

    Annotated, or the part of the silhouette or of the body where it may be. None where nothing is known.
    """
    if person.head is not None:
        return person.head
    body = extent(person)
    if body is None:
        return None
    x0, y0, x1, y1 = body
    height, share = y1 - y0, top_share(body)
    if person.silhouette is not None and share > _CLEAR:
        share = 1.0
    bottom = y0 + share * height
    if person.silhouette is not None and share < 1:
        across = np.flatnonzero(_mask(person)[max(0, int(y0)) : max(0, int(np.ceil(bottom)))].any(axis=0))
        if across.size:
            # a bit of hair or a hat at the top must not pass for all of it
            spare = max(2.0, (0.8 * _TOP * height - (across[-1] + 1 - across[0])) / 2)
            x0, x1 = float(across[0]) - spare, float(across[-1]) + 1 + spare
    return x0, y0 - _HAIR * height, x1, bottom


def expected(person: Person) -> Expected | None:
    """Where the person's face should be; None where nothing is known."""
    if person.head is not None:
        # 99 % of LFW's and CelebA's faces lie within 0.1 sides of its centre, three quarters of COCO's within 0.14
        x0, y0, x1, y1 = person.head
        width, height = max(x1 - x0, 1e-6), max(y1 - y0, 1e-6)
        side = 0.62 * max(width, height)
        return Expected(((x0 + x1) / 2, (y0 + y1) / 2), (width / 2, height / 2), side, 0.6, 0.45, 1.8)
    body = extent(person)
    if body is None:
        return None
    x0, y0, x1, y1 = body
    width, height, share = max(x1 - x0, 1e-6), max(y1 - y0, 1e-6), top_share(body)
    reach = 0.42 * share * height
    side = float(np.sqrt(0.1 * 0.5 * share)) * height  # between a standing person's and that of a head alone
    least, most = 0.055 * height / side, max(share * height, width) / side
    return Expected(((x0 + x1) / 2, y0 + reach), (max(width, side) / 2, reach), side, 1.25, least, most)


def match(faces: Sequence[Region], people: Sequence[Person]) -> dict[int, int]:
    """Face index → index of the person whose face it is; each at most once, the best total fit.

    A face that fits nobody well stays without an owner, and a person without a face: both are then covered. So are a
    feeble detection and the person whose head it might be, unless the source knows where the head is.
    """
    from scipy.optimize import linear_sum_assignment

    cost = misfits(faces, people)
    rows, columns = linear_sum_assignment(cost)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if cost[i, j] < NEVER}


def certain(faces: Sequence[Region], people: Sequence[Person]) -> dict[int, int]:
    """The matches of :func:`match` to which there is no other way: no other face fits the person, nor the face another.

    Consent is taken to a face on these alone: a bystander's must not be left as it is for a neighbour's sake. Nor is a
    box of the body enough, in which whoever stands before it, and has no annotation, may show the only face.
    """
    fits = misfits(faces, people) < NEVER
    fits[:, [person.head is None and person.silhouette is None for person in people]] = False
    alone = {(i, j) for i, j in np.argwhere(fits).tolist() if fits[i].sum() == 1 and fits[:, j].sum() == 1}
    return {i: j for i, j in match(faces, people).items() if (i, j) in alone}


def misfits(faces: Sequence[Region], people: Sequence[Person]) -> npt.NDArray[np.float64]:
    """How badly each face fits each person, (faces, people); ``NEVER`` where it cannot be theirs."""
    places = [expected(person) for person in people]
    cost = np.array([[misfit(face.box, place) for place in places] for face in faces], dtype=np.float64)
    cost = cost.reshape(len(faces), len(people))
    for j, person in enumerate(people):
        if person.head is None:
            cost[[i for i, face in enumerate(faces) if face.reason == FEEBLE], j] = NEVER
        near = [i for i in range(len(faces)) if cost[i, j] < NEVER]
        if near and person.silhouette is not None:
            mask = _mask(person)
            cost[[i for i in near if _on(mask, faces[i].box) < _SAME_BODY], j] = NEVER
    return cost


def misfit(face: Box, place: Expected | None) -> float:
    """How badly a face's box fits where a face is expected: distance and size; ``NEVER`` where it cannot be it."""
    if place is None:
        return NEVER
    dx = ((face[0] + face[2]) / 2 - place.centre[0]) / place.reach[0]
    dy = ((face[1] + face[3]) / 2 - place.centre[1]) / place.reach[1]
    ratio = max(face[2] - face[0], face[3] - face[1]) / place.side
    away = float(np.hypot(dx, dy))
    if away > place.limit or not place.least <= ratio <= place.most:
        return NEVER
    return away + 0.5 * abs(float(np.log(ratio)))


def _on(mask: Mask, face: Box) -> float:
    """Share of the middle of a face's box that lies on the mask."""
    x0, y0, x1, y1 = (round(float(v)) for v in boxes.expand(face, 0.5)[0])
    part = mask[max(0, y0) : max(0, y1, y0 + 1), max(0, x0) : max(0, x1, x0 + 1)]
    return float(part.mean()) if part.size else 0.0


def _mask(person: Person) -> Mask:
    from dsanon.sources.silhouettes import to_mask

    assert person.silhouette is not None
    return to_mask(person.silhouette)
