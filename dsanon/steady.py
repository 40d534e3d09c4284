"""Painted faces of neighbouring frames, mixed in the crop, where a face stands still: the generator's own flicker goes.

A generator that sees one frame at a time paints brows and eyes a little differently in each. In the crop every frame
of a face lies alike, so that no optical flow is needed. Nothing but painted pixels is mixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, Transform, apply
from dsanon.sample import Pixels, Region

Moment = tuple[str, int]  # a subject, and the number of the frame in their sequence
FRESH = 0.2  # least share of the new picture
_MOVED = 2.5  # pixels of the crop by which landmarks move between two frames that have nothing in common any more
# the upper half of a face goes by its outline and the nose, the lower by chin and lips, which move with every syllable
_UPPER, _LOWER = np.r_[0:4, 13:17, 27:36], np.r_[4:13, 48:68]
_RAMP = np.clip((np.arange(CROP, dtype=np.float32) / CROP - 0.5) / 0.1, 0, 1)[:, None, None]  # 0 above, 1 below


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A face as it was painted last. pixels: (128, 128, 3) float32 · points: its landmarks in the crop."""

    number: int
    pixels: npt.NDArray[np.float32]
    points: Transform


Recent = dict[str, Painted]  # by subject


def steadied(crop: Pixels, region: Region, moment: Moment | None, recent: Recent) -> Pixels:
    """``crop`` mixed with the one before; ``recent`` is updated. A still, a first frame or a leap stays as it is."""
    if moment is None:
        return crop
    subject, number = moment
    transform = np.array(region.transform, dtype=np.float64).reshape(2, 3)
    points = apply(transform, np.array(region.landmarks, dtype=np.float64).reshape(68, 2))
    pixels, before = crop.astype(np.float32), recent.get(subject)
    if before is not None and before.number == number - 1:
        moved = np.hypot(*(points - before.points).T)
        upper, lower = (np.float32(min(1.0, FRESH + moved[part].mean() / _MOVED)) for part in (_UPPER, _LOWER))
        share = upper + _RAMP * (lower - upper)
        pixels = np.asarray(share * pixels + (1 - share) * before.pixels, dtype=np.float32)
    recent[subject] = Painted(number, pixels, points)
    return np.asarray(np.rint(pixels), dtype=np.uint8)


def prune(recent: Recent) -> None:
    """Forget who is not in the last frame, so that memory does not grow with a sequence."""
    last = max((painted.number for painted in recent.values()), default=0)
    for subject in [subject for subject, painted in recent.items() if painted.number < last]:
        del recent[subject]
