"""Is what lies outside of the treated regions still the source's? Exactly in PNGs, nearly in JPEGs and videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsanon.align import apply, invert
from dsanon.sample import Mask, Region
from dsanon_eval.intervals import bootstrap_mean
from dsanon_eval.measurement import Measurement
from dsanon_eval.utility.frames import Pair

BEST = 100.0  # dB that stand for pictures without any difference
_GROW = 0.3  # of a region's sides, on each side: covers reach beyond boxes, for hair and soles
_CROP = np.array([[-0.5, -0.5], [127.5, -0.5], [127.5, 127.5], [-0.5, 127.5]])


@dataclass(frozen=True, slots=True)
class Outside:
    """Of one picture. same: share of the pixels that are bit-exact · error: mean squared difference, grey levels²"""

    block: str
    same: float
    error: float


def outside(regions: Sequence[Region], height: int, width: int) -> Mask:
    """(height, width) what no region's cover or painted crop can reach."""
    free = np.ones((height, width), np.bool_)
    for region in regions:
        x0, y0, x1, y1 = region.box
        grow = _GROW * max(x1 - x0, y1 - y0) + 2
        low, high = np.array([x0 - grow, y0 - grow]), np.array([x1 + grow, y1 + grow])
        if region.transform:
            corners = apply(invert(np.array(region.transform).reshape(2, 3)), _CROP)
            low, high = np.minimum(low, corners.min(axis=0)), np.maximum(high, corners.max(axis=0))
        (left, top), (right, bottom) = np.maximum(np.floor(low), 0).astype(int), np.ceil(high).astype(int)
        free[top : max(bottom, 0), left : max(right, 0)] = False
    return free


def look(pair: Pair) -> Outside | None:
    """None where nothing is outside, or the picture was withheld."""
    where = outside(pair.regions, *pair.original.shape[:2])
    if pair.withheld or not where.any():
        return None
    apart = pair.release[where].astype(np.int16) - pair.original[where]
    return Outside(pair.block, float((apart == 0).all(axis=1).mean()), float(np.square(apart, dtype=float).mean()))


def measure(seen: Sequence[Outside]) -> list[Measurement]:
    """Means over pictures of the bit-exact share and of PSNR in dB (at most ``BEST``).

    n: pictures · intervals: bootstrap over blocks of them
    """
    if not seen:
        return []
    groups = [one.block for one in seen]
    ratios = [min(BEST, 10 * float(np.log10(255**2 / max(one.error, 1e-12)))) for one in seen]
    return [
        Measurement(name, "pixels", "release", float(np.mean(values)), interval, len(seen))
        for name, values, most in (
            ("background_exact", [one.same for one in seen], 1.0),
            ("background_psnr", ratios, BEST),
        )
        for interval in [bootstrap_mean(values, groups, within=(0.0, most))]
    ]
