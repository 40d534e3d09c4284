"""95 % intervals: Wilson's for shares of independent trials, the bootstrap over people for all else.

Faces of one person are not independent, so a bootstrap draws people, never single faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

_Z = 1.959964  # 97.5 % of the normal distribution
ROUNDS = 1000
_WIDTH = 1e-9  # an interval of less is none


def wilson(hits: float, n: int) -> Interval | None:
    """Of a share ``hits / n`` (Wilson 1927); None without trials. Never empty, not even at 0 or 1."""
    if n == 0:
        return None
    p, z2 = hits / n, _Z * _Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * float(np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)))
    # at the ends exact, which rounding is not: of 5 people it would leave 3e-17
    return 0.0 if hits <= 0 else max(0.0, centre - half), 1.0 if hits >= n else min(1.0, centre + half)


def bootstrap_mean(
    values: npt.ArrayLike, people: Sequence[object], rounds: int = ROUNDS, seed: int = 0
) -> Interval | None:
    """Of the mean of ``values`` (n,), drawing ``people`` (n labels) with replacement.

    None for fewer than two people: whoever draws from one only finds how sure he is of that one.
    """
    drawn = _drawn(np.asarray(values, dtype=np.float64).reshape(1, -1), people, rounds, seed)
    return None if drawn is None else drawn[0]


def share_of_people(hits: npt.ArrayLike, people: Sequence[object]) -> Interval:
    """Of a share over several faces a person: the bootstrap over people; Wilson over people where all are alike.

    There the bootstrap says [0, 0], as if twenty people proved that nobody ever is recognised, and of one person in a
    video, found in 95 of 100 frames, [0.95, 0.95]. (nan, nan) without faces.
    """
    h = np.asarray(hits, dtype=np.float64).reshape(-1)
    return shares_of_people(h[None], people)[0] if h.size else (float("nan"), float("nan"))


def shares_of_people(hits: npt.ArrayLike, people: Sequence[object]) -> list[Interval]:
    """Of several shares of the same faces, (k, n) for n above 0: see :func:`share_of_people`. Of a curve's points."""
    h = np.asarray(hits, dtype=np.float64)
    count = len({str(person) for person in people})
    alike = [wilson(float(share) * count, count) or (0.0, 1.0) for share in h.mean(axis=1)]
    drawn = _drawn(h, people, ROUNDS, 0) or alike
    return [one if one[1] - one[0] > _WIDTH else other for one, other in zip(drawn, alike, strict=True)]


def over_folds(rates: Sequence[float], hits: int, n: int) -> Interval | None:
    """Of the mean over folds: the wider of Student's t over the ``rates`` and Wilson over all ``n`` trials."""
    pooled = wilson(hits, n)
    if pooled is None or len(rates) < 2:
        return pooled
    from scipy.stats import t

    mean = float(np.mean(rates))
    half = float(t.ppf(0.975, len(rates) - 1) * np.std(rates, ddof=1) / np.sqrt(len(rates)))
    return max(0.0, min(pooled[0], mean - half)), min(1.0, max(pooled[1], mean + half))


def _drawn(values: Floats, people: Sequence[object], rounds: int, seed: int) -> list[Interval] | None:
    """Bootstrap intervals of the means of the rows of ``values`` (k, n); None for fewer than two people."""
    names, group = np.unique([str(person) for person in people], return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.stack([np.bincount(group, row, len(names)) for row in values])
    drawn = np.random.default_rng(seed).integers(0, len(names), (rounds, len(names)))
    times = np.zeros((rounds, len(names)))  # that each person was drawn
    np.add.at(times, (np.arange(rounds)[:, None], drawn), 1)
    means = (sums @ times.T) / (np.bincount(group) @ times.T)
    low, high = np.quantile(means, (0.025, 0.975), axis=1)
    return list(zip(low.tolist(), high.tolist(), strict=True))
