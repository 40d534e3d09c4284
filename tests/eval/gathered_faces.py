"""What an audit has gathered, made up: vectors for photos of people, without a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from dsanon_eval.seeing.case import Face
from dsanon_eval.seeing.gathered import Gathered, Picture

from dsanon.sample import Region


def picture(vectors: np.ndarray, looked: np.ndarray | None = None, light: Sequence[float] = ()) -> Picture:
    """Of a recogniser called x."""
    n = len(vectors)
    none = np.zeros((n, 0), np.float32)
    looked = np.ones(n, np.bool_) if looked is None else looked
    seen = np.where(looked[:, None], vectors, np.nan).astype(np.float32)
    bright = np.array(light, dtype=np.float32).reshape(-1, 1)
    return Picture(looked, {}, {"x": seen}, none, none, none, light=bright)


def gathered(
    people: Sequence[str], pictures: Mapping[str, Picture], derived: Mapping[str, Picture] | None = None
) -> Gathered:
    """A photo for each of ``people``; the names are in order, so that the next photo of a person is another one."""
    faces = [Face(p, True, f"p{p}", "dataset", "anonymized", Region("face", (0, 0, 60, 60))) for p in people]
    samples = [f"s{i:03d}" for i in range(len(people))]
    places = [(sample, 0) for sample in samples]
    files = [f"{sample}.jpg" for sample in samples]
    return Gathered(faces, files, list(people), dict(pictures), places, dict(derived or {}))
