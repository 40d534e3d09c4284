"""A few people who are easily told apart: the worst case of "A False Sense of Privacy" (Hanisch et al., 2023).

Among thousands a face is lost; among five whom an attacker knows to be there, and who look unlike one another, a trace
is enough. Sets of five are chosen by one half of everybody's originals, galleries are these, and the released faces of
the other half are asked: no photo is on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsanon_eval.intervals import bootstrap_mean
from dsanon_eval.measurement import Measurement

NAME = "few_recall_at_1"
FEW = 5  # people of a set: a guess is right in a fifth of the cases
Floats = npt.NDArray[np.float64]


def few(
    originals: npt.ArrayLike,
    shown: npt.ArrayLike,
    people: Sequence[str],
    looked: npt.ArrayLike,
    model: str,
    control: str,
) -> list[Measurement]:
    """How often a face is named among five people who are unlike one another; () of fewer than five with two photos.

    originals, shown: (n, d), row i of both is the same face, NaN where there is none · looked: (n,) whether it is shown
    A face's figure is its mean over all sets that it is asked in, one set begun by each person; n is of such faces.
    Shown but without an embedding it counts as named.
    """
    real, made = np.asarray(originals, np.float64), np.asarray(shown, np.float64)
    there, asked = np.isfinite(real).all(axis=1), np.asarray(looked, np.bool_)
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(there).tolist():
        rows.setdefault(people[row], []).append(row)
    known = {person: mine[0::2] for person, mine in rows.items() if len(mine) > 1}
    probes = {person: [row for row in rows[person][1::2] if asked[row]] for person in known}
    names = [person for person in known if probes[person]]
    if len(names) < FEW:
        return []
    templates = np.stack([_unit(_unit(real[known[person]]).mean(axis=0)) for person in names])
    alike = templates @ templates.T
    hits: dict[int, list[float]] = {}
    for members in {tuple(sorted(_unlike(alike, first))) for first in range(len(names))}:
        for right, member in enumerate(members):
            for row in probes[names[member]]:
                near = templates[list(members)] @ made[row]  # a longer vector ranks them no otherwise
                hits.setdefault(row, []).append(float(np.isnan(near).any() or near.argmax() == right))
    values = np.array([np.mean(mine) for mine in hits.values()])
    whose = [people[row] for row in hits]
    interval = bootstrap_mean(values, whose, within=(0.0, 1.0))
    return [Measurement(NAME, model, control, float(values.mean()), interval, len(values))]


def guess(figures: Sequence[Measurement]) -> list[Measurement]:
    """What guessing reaches of what ``figures`` say of the originals."""
    return [
        Measurement(NAME, figure.model, "chance", 1 / FEW, None, figure.n)
        for figure in figures
        if (figure.name, figure.control) == (NAME, "original")
    ]


def _unlike(alike: Floats, first: int) -> list[int]:
    """``first`` and four more, each the one whose likest of those before is the least alike."""
    members = [first]
    while len(members) < FEW:
        likest = alike[:, members].max(axis=1)
        likest[members] = np.inf
        members.append(int(likest.argmin()))
    return members


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))
