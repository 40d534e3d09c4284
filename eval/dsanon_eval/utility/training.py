"""What can be learnt from a release: a face detector trained on it, tested on originals of other people.

The same small detector is trained on the originals and on each control, from the same windows and the same seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsanon.align import warp
from dsanon.errors import DsanonError
from dsanon.progress import Progress
from dsanon.sample import Pixels
from dsanon_eval.intervals import Interval, stretched
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks.small_detector import (
    SIDE,
    STEPS,
    Boxes,
    Matches,
    average_precision,
    detect,
    matched,
    train_detector,
)
from dsanon_eval.seeing.case import Case, Scene
from dsanon_eval.seeing.faces import place
from dsanon_eval.seeing.pictures import Means, Studio

NAME, RATIO = "utility_detector_ap50", "utility_detector_ratio"
MODEL = "small_detector"  # trained here, from nothing
LEAST = 50  # faces to learn from, and to be tested on
LEARNT = 0.2  # AP after training on originals, below which it learnt next to nothing: of that there is no share
_EACH = 4  # windows of a sample
_ROUNDS = 200
_TRIES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """(n, 96, 96, 3) of each kind of picture, the boxes of the faces in them, and whose sample each is of."""

    pixels: dict[str, Pixels]
    faces: list[Boxes]
    people: list[str]


def windows(case: Case, samples: set[str], kinds: Sequence[str], means: Means) -> Windows:
    """Windows of various sizes and places, three in four about a face; the same ones of each kind of picture."""
    studio = Studio()
    pixels: dict[str, list[Pixels]] = {kind: [] for kind in kinds}
    faces: list[Boxes] = []
    people: list[str] = []
    with Progress("windows", len(samples)) as progress:
        for scene in case.scenes(samples):
            pictures = studio.pictures(scene, case.root, case.paths.release / "data", means)
            height, width = pictures["original"].shape[:2]
            real = np.array([place(face.region) for face in scene.faces], dtype=np.float64).reshape(-1, 4)
            for x, y, side in drawn(scene, real, width, height):
                zoom = SIDE / side
                transform = np.array([[zoom, 0, -zoom * x], [0, zoom, -zoom * y]])
                for kind in kinds:
                    pixels[kind].append(warp(pictures[kind], transform, SIDE))
                inside = (real - (x, y, x, y)) * zoom
                centres = (inside[:, :2] + inside[:, 2:]) / 2
                faces.append(inside[((centres > 0) & (centres < SIDE)).all(axis=1)])
                people.append(scene.faces[0].person)
            progress.add({"samples": 1, "faces": len(scene.faces)})
    return Windows({kind: np.stack(some) for kind, some in pixels.items() if some}, faces, people)


def drawn(scene: Scene, real: Boxes, width: int, height: int) -> list[tuple[float, float, float]]:
    """x, y and side of a sample's windows, drawn by its name; in the last is no face, where there is room for that."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(scene.sample.encode()).digest()[:8], "big"))
    out = []
    for number in range(_EACH):
        x0, y0, x1, y1 = real[number % len(real)]
        face = max(x1 - x0, y1 - y0, 8.0)
        if number < _EACH - 1:
            side = face * random.uniform(1.6, 4.0)
            x, y = ((low + high) / 2 - side * random.uniform(0.25, 0.75) for low, high in ((x0, x1), (y0, y1)))
            out.append((float(x), float(y), float(side)))
            continue
        for _ in range(_TRIES):
            side = face * random.uniform(0.5, 1.5)
            x, y = random.uniform(0, max(1, width - side)), random.uniform(0, max(1, height - side))
            overlap = np.minimum(real[:, 2:], (x + side, y + side)) - np.maximum(real[:, :2], (x, y))
            if not (overlap > 0).all(axis=1).any():
                out.append((float(x), float(y), float(side)))
                break
    return out


def measure(learnt: Windows, asked: Windows, seeds: int, steps: int = STEPS) -> list[Measurement]:
    """AP at IoU 0.5 on the originals of ``asked`` after training on each kind of ``learnt``; see :func:`figures`.

    Nothing with fewer than ``LEAST`` faces on either side. Raises DsanonError where somebody is on both.
    """
    if both := set(learnt.people) & set(asked.people):
        raise DsanonError(f"{len(both)} people are both learnt from and tested on: the comparison is void")
    if min(sum(map(len, part.faces)) for part in (learnt, asked)) < LEAST or seeds < 1:
        return []
    found: dict[str, list[list[Matches]]] = {}
    with Progress("learn", seeds * len(learnt.pixels)) as progress:
        for kind, pixels in learnt.pixels.items():
            for seed in range(seeds):
                network = train_detector(pixels, learnt.faces, steps, seed)
                some = detect(network, asked.pixels["original"])
                matches = [matched(mine, real) for mine, real in zip(some, asked.faces, strict=True)]
                found.setdefault(kind, []).append(matches)
                progress.add({"samples": 1, "faces": len(pixels)})
    return figures(found, [len(real) for real in asked.faces], asked.people)


def figures(
    found: Mapping[str, Sequence[Sequence[Matches]]], faces: Sequence[int], people: Sequence[str]
) -> list[Measurement]:
    """AP by kind, and its share of the originals' AP: means over seeds; the interval draws seeds and people.

    found: kind → of each seed → of each window · faces: how many are in each window · n of a figure: all of them
    No share where the originals teach less than ``LEARNT``, and no interval of a single person.
    """
    random = np.random.default_rng(0)
    count = np.array(faces)
    rows = [np.flatnonzero(np.array(people) == person) for person in sorted(set(people))]
    seeds = len(found["original"])
    every = np.arange(len(count))

    def ap(matches: Sequence[Matches], some: npt.NDArray[np.int64]) -> float:
        return average_precision([matches[i] for i in some], int(count[some].sum()))

    value = {kind: float(np.mean([ap(some, every) for some in by_seed])) for kind, by_seed in found.items()}
    turns: dict[str, list[float]] = {kind: [] for kind in found}
    for _ in range(_ROUNDS):
        some = np.concatenate([rows[i] for i in random.integers(0, len(rows), len(rows))])
        turn = int(random.integers(seeds))  # of all kinds alike: they share windows and first weights
        for kind, by_seed in found.items():
            turns[kind].append(ap(by_seed[turn], some))
    out = []
    for kind in found:
        interval = _between(value[kind], turns[kind], len(rows), 1.0) if len(rows) > 1 else None
        out.append(Measurement(NAME, MODEL, kind, value[kind], interval, int(count.sum())))
        if kind != "original" and value["original"] >= LEARNT:
            ratio, ratios = value[kind] / value["original"], np.array(turns[kind]) / np.maximum(turns["original"], 1e-6)
            interval = _between(ratio, ratios, len(rows), np.inf) if interval else None
            out.append(Measurement(RATIO, MODEL, kind, ratio, interval, int(count.sum())))
    return out


def _between(value: float, drawn: npt.ArrayLike, people: int, most: float) -> Interval:
    low, high = np.quantile(np.asarray(drawn, dtype=np.float64), (0.025, 0.975))
    return stretched(value, (float(low), float(high)), people, (0.0, most))
