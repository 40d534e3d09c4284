"""The ablation that is shown the whole face: painted for measuring only, never by ``dsanon anonymize``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dsanon.align import warp
from dsanon.methods.ciagan import Crop, Painter
from dsanon.render import Strength, Treatment, render
from dsanon.sample import Pixels


class _Shown(Painter):
    """``painter`` whose crops show ``photo`` where it would be grey."""

    def __init__(self, painter: Painter, photo: Pixels, treatment: Treatment) -> None:
        self._painter, self.shapes = painter, painter.shapes
        self._seen = warp(photo, np.array(treatment.region.transform).reshape(2, 3))

    def __call__(self, crops: Sequence[Crop]) -> list[Pixels]:
        return self._painter([replace(crop, pixels=self._seen) for crop in crops])


def painted(painter: Painter, photo: Pixels, treatment: Treatment) -> Pixels:
    """``photo`` with the face of ``treatment`` painted; a generator of the ablation ``faces`` sees it before.

    A face that cannot be aligned is masked, as ``dsanon anonymize`` does.
    """
    region = treatment.region
    if not region.transform:
        return render([photo], [[Treatment(region, "mask")]], _STRENGTH, None)[0]
    if getattr(painter.generator, "sees_source", False):
        painter = _Shown(painter, photo, treatment)
    return render([photo], [[treatment]], _STRENGTH, painter)[0]


_STRENGTH = Strength(9, 16)  # of the classical methods: not used here
