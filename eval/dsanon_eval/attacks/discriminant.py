"""Who is it, by vectors that an attacker learns from? Linear discriminant analysis with a shrunken covariance.

Directions are weighed by how much they tell people apart; the person whose mean vector is nearest is named.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 1.0)  # the last is the nearest mean


class Discriminant:
    """Learnt from ``known`` (n, d) vectors of ``who`` (n). names: the people, sorted."""

    def __init__(self, known: npt.ArrayLike, who: Sequence[str]) -> None:
        x = np.asarray(known, dtype=np.float64)
        names, index = np.unique(list(who), return_inverse=True)
        self.names = [str(name) for name in names]
        counts = np.bincount(index, minlength=len(names))[:, None]
        self._means = np.stack([np.bincount(index, column, len(names)) for column in x.T], axis=1) / counts
        apart = x - self._means[index]
        covariance = apart.T @ apart / max(1, len(x) - 1)
        self._values, self._vectors = np.linalg.eigh(covariance)

    def distances(self, asked: npt.ArrayLike, shrinkage: float) -> Floats:
        """(m, people) squared distances of ``asked`` (m, d), up to a term of each row. shrinkage: of the covariance."""
        spread = (1 - shrinkage) * np.maximum(self._values, 0) + shrinkage * self._values.mean() + 1e-12
        white = self._vectors / np.sqrt(spread)
        m, t = self._means @ white, np.asarray(asked, dtype=np.float64) @ white
        return np.asarray(np.square(m).sum(axis=1)[None] - 2 * t @ m.T)

    def identify(self, asked: npt.ArrayLike, shrinkage: float) -> list[str]:
        """The person of each of ``asked`` (m, d)."""
        return [self.names[i] for i in self.distances(asked, shrinkage).argmin(axis=1)]


def tuned(known: npt.ArrayLike, who: Sequence[str], photos: Sequence[str]) -> float:
    """The shrinkage by which the attacker names one photo of each of his people best, having learnt from the others.

    photos: of each row, so that one photo seen twice is not its own witness. The largest where nobody has two.
    """
    x = np.asarray(known, dtype=np.float64)
    last = dict(sorted(zip(who, photos, strict=True)))
    others: dict[str, set[str]] = {}
    for person, photo in zip(who, photos, strict=True):
        others.setdefault(person, set()).add(photo)
    held = np.array([len(others[p]) > 1 and last[p] == photo for p, photo in zip(who, photos, strict=True)])
    if not held.any():
        return SHRINKAGES[-1]
    learnt = Discriminant(x[~held], [p for p, h in zip(who, held, strict=True) if not h])
    asked = [p for p, h in zip(who, held, strict=True) if h]
    right = [np.mean([a == b for a, b in zip(learnt.identify(x[held], s), asked, strict=True)]) for s in SHRINKAGES]
    return SHRINKAGES[int(np.argmax(right))]
