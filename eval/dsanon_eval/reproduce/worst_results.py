"""The worst painted faces of people never seen: those a detector doubts, and those the critics call false.

A mean says little of a generator; a look at what fails first says what to work on.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsanon.align import apply, warp
from dsanon.detectors import open_detectors
from dsanon.durable import aside
from dsanon.landmarks import draw
from dsanon.models import store
from dsanon.render import Treatment, painted_shape
from dsanon.sample import Pixels
from dsanon_eval.reproduce.bench import Bench, Look, painter_of
from dsanon_eval.reproduce.shown import painted
from dsanon_eval.seeing.code import LOOKING, PAINTING, digest
from dsanon_eval.seeing.faces import place
from dsanon_eval.seeing.observation import picture_key, zoomed
from dsanon_eval.seeing.remembered import remembered
from dsanon_eval.utility.detection import best_at, squares

DETECTOR = "centerface"
MOST, ACROSS = 64, 8  # faces of a page, and of a row
_WIDE = 1.4  # of a crop: the seam and what lies around it are to be seen
_CODE = (*PAINTING, *LOOKING, "dsanon_eval.reproduce.shown", "dsanon_training.discriminators", __name__)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A painted face. confidence: of the detector, 0 where it finds none · realism: mean score of the critics, 1 for
    what they take for real, NaN without their file · crop: (128, 128, 3)
    """

    confidence: float
    realism: float
    crop: Pixels


def critics_file(weights: Path) -> Path | None:
    """The critics that were trained with a generator, where they lie beside it."""
    path = weights.with_name(f"{weights.stem}.critics.safetensors")
    return path if path.is_file() else None


def judge(bench: Bench, looks: Sequence[Look]) -> list[Judged]:
    """Each face of ``looks``, painted by its generator. Those that cannot be aligned are covered and left out."""
    shown = [look for look in looks if look.face.region.transform and look.weights]
    tasks = [(_key(look), look.face.sample.file, look) for look in shown]
    return [_decoded(data) for data in remembered("judge painted faces", tasks, _judge, bench.crew, bench.cache)]


def pages(judged: Sequence[Judged], out: Path) -> list[Path]:
    """Write ``OUT.worst-by-detector.png`` and, where there are critics, ``OUT.worst-by-critics.png``: the worst first.

    Mode 0600, for what surrounds a painted face is a real person's.
    """
    made = []
    by = {"detector": [j.confidence for j in judged], "critics": [j.realism for j in judged]}
    for name, scores in by.items():
        order = worst(scores)
        if len(order):
            path = out.with_name(f"{out.stem}.worst-by-{name}.png")
            with aside(path) as file:
                os.fchmod(file.fileno(), 0o600)
                Image.fromarray(sheet([judged[i].crop for i in order])).save(file, "png")
            made.append(path)
    return made


def worst(scores: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Indices of the ``MOST`` lowest scores, lowest first; those that are no number are left out."""
    values = np.asarray(scores, dtype=np.float64)
    there = np.flatnonzero(~np.isnan(values))
    return np.asarray(there[np.argsort(values[there], kind="stable")][:MOST], dtype=np.int64)


def sheet(crops: Sequence[Pixels]) -> Pixels:
    """Crops (s, s, 3), ``ACROSS`` in a row, on white."""
    side, rows = crops[0].shape[0], -(-len(crops) // ACROSS)
    page = np.full((rows * side, ACROSS * side, 3), 255, np.uint8)
    for i, crop in enumerate(crops):
        y, x = i // ACROSS * side, i % ACROSS * side
        page[y : y + side, x : x + side] = crop
    return page


def _key(look: Look) -> str:
    assert look.weights is not None
    critics = critics_file(look.weights)
    said = store.sha256(critics) if critics else ""
    how = f"judged {store.sha256(look.weights)} {said} {store.sha256(store.path(DETECTOR))} {digest(*_CODE)}"
    return picture_key(look.face.sha256, f"{how} {look.vector}", [look.face.region], "")


def _judge(look: Look) -> bytes:
    assert look.weights is not None
    region, painter = look.face.region, painter_of(look.weights)
    treatment = Treatment(region, "ciagan", look.vector)
    picture = painted(painter, look.face.pixels(), treatment)
    transform = np.array(region.transform).reshape(2, 3)
    found = _detector(store.sha256(store.path(DETECTOR)))(picture)
    at = best_at(squares(found), place(region))
    realism, critics = float("nan"), critics_file(look.weights)
    shape = painted_shape(treatment, painter)
    if critics and shape is not None:
        drawn = draw(apply(transform, shape))
        realism = _critics(critics, store.sha256(critics))(warp(picture, transform), drawn)
    out = io.BytesIO()
    confidence = found[at].score if at >= 0 else 0.0
    np.savez(out, scores=[confidence, realism], crop=warp(picture, zoomed(transform, 1 / _WIDE)))
    return out.getvalue()


def _decoded(data: bytes) -> Judged:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        confidence, realism = file["scores"].tolist()
        return Judged(confidence, realism, file["crop"])


@once
def _detector(_: str) -> Any:
    return open_detectors(DETECTOR)[0]


@once
def _critics(file: Path, _: str) -> Critics:
    return Critics(file)


class Critics:
    """The critics of a generator's file."""

    def __init__(self, file: Path) -> None:
        from dsanon_training.backbones import MobileNetV2Features
        from dsanon_training.checkpoints import critics_in, load_critics
        from dsanon_training.discriminators import (
            EyesDiscriminator,
            MouthDiscriminator,
            PixelDiscriminator,
            ProjectedDiscriminator,
        )

        frozen = MobileNetV2Features(store.path("mobilenet_v2"))
        self.pixel, self.projected = PixelDiscriminator().eval(), [ProjectedDiscriminator(frozen).eval()]
        held = critics_in(file)
        self.projected += [c(frozen).eval() for c in (EyesDiscriminator, MouthDiscriminator) if c.__name__ in held]
        load_critics(file, (self.pixel, *self.projected))

    def __call__(self, crop: Pixels, drawn: Pixels) -> float:
        """Mean score of a crop (128, 128, 3) with its landmark image: all critics count alike."""
        import torch

        with torch.inference_mode():
            photo = torch.from_numpy(crop)[None].permute(0, 3, 1, 2).float() / 127.5 - 1
            lines = torch.from_numpy(drawn)[None].permute(0, 3, 1, 2).float() / 255
            judged = [self.pixel(photo, lines)[0], *(critic.judge(critic.look(photo)[0]) for critic in self.projected)]
            return float(np.mean([np.mean([float(head.mean()) for head in heads]) for heads in judged]))
