"""Who is it, by 68 landmarks alone? The generator is shown their geometry, so a release may still carry it.

The attacker knows the real landmarks of half of everybody's photos. He takes position, size and roll out (Procrustes),
weighs directions by how much they tell people apart (linear discriminant analysis with a shrunken covariance), and
names the person whose mean shape is nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dsanon_eval.attacks.discriminant import Discriminant
from dsanon_eval.intervals import share_of_people
from dsanon_eval.measurement import Measurement

Floats = npt.NDArray[np.float64]
NAME = "landmark_recall_at_1"
_SHRINK = 0.03  # of the covariance; the best of 0.003 to 0.3 on 2,055 photos of 200 people, where it names 62 %


def aligned(shapes: npt.ArrayLike, rounds: int = 5) -> Floats:
    """(n, 136) shapes without position, size and roll: generalised Procrustes towards their common mean."""
    z = np.asarray(shapes, dtype=np.float64).reshape(-1, 68, 2) @ np.array([1, 1j])
    z = z - z.mean(axis=1, keepdims=True)
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
    mean = z[0]
    for _ in range(rounds):
        turn = (z.conj() * mean).sum(axis=1, keepdims=True)
        z = z * turn / np.maximum(np.abs(turn), 1e-12)
        mean = z.mean(axis=0)
        mean = mean / np.linalg.norm(mean)
    return np.stack([z.real, z.imag], axis=2).reshape(len(z), 136)


def measure(pictures: Mapping[str, npt.ArrayLike], people: Sequence[str]) -> list[Measurement]:
    """Recall@1 on the landmarks found in each picture (control → (n, 136), NaN where it was not looked at).

    people: of each row. Those with two photos or more are asked for; every other photo of theirs is known to the
    attacker, as it was. n: photos asked for.
    """
    rows: dict[str, list[int]] = {}
    original = np.asarray(pictures["original"], dtype=np.float64)
    for i, person in enumerate(people):
        if np.isfinite(original[i]).all():
            rows.setdefault(person, []).append(i)
    several = [r for r in rows.values() if len(r) > 1]
    if len(several) < 2:
        return []
    known, asked = [i for r in several for i in r[::2]], [i for r in several for i in r[1::2]]
    out = []
    for control, shapes in pictures.items():
        x = np.asarray(shapes, dtype=np.float64)
        there = [i for i in asked if np.isfinite(x[i]).all()]
        if not there:
            continue
        together = aligned(np.concatenate([original[known], x[there]]))
        learnt = Discriminant(together[: len(known)], [people[i] for i in known])
        named = learnt.identify(together[len(known) :], _SHRINK)
        hits = [name == people[i] for name, i in zip(named, there, strict=True)]
        interval = share_of_people(hits, [people[i] for i in there])
        value = float(np.mean(hits))
        out.append(Measurement(NAME, "landmarks68", control, value, interval, len(there)))
    out.append(Measurement(NAME, "landmarks68", "chance", 1 / len(several), None, len(asked)))
    return out
