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
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_mean(
    values: npt.ArrayLike, people: Sequence[object], rounds: int = ROUNDS, seed: int = 0
) -> Interval | None:
    """Of the mean of ``values`` (n,), drawing ``people`` (n labels) with replacement.

    None for fewer than two people: whoever draws from one only finds how sure he is of that one.
    """
    v = np.asarray(values, dtype=np.float64).reshape(-1)
    _, group = np.unique([str(person) for person in people], return_inverse=True)
    sums, sizes = np.bincount(group, weights=v), np.bincount(group)
    if len(sums) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(sums), (rounds, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def share_of_people(hits: npt.ArrayLike, people: Sequence[object]) -> Interval:
    """Of a share over several faces a person: the bootstrap over people; Wilson over people where all are alike.

    There the bootstrap says [0, 0], as if twenty people proved that nobody ever is recognised, and of one person in a
    video, found in 95 of 100 frames, [0.95, 0.95]. (nan, nan) without faces.
    """
    h = np.asarray(hits, dtype=np.float64).reshape(-1)
    if not h.size:
        return float("nan"), float("nan")
    drawn = bootstrap_mean(h, people)
    if drawn is not None and drawn[1] - drawn[0] > _WIDTH:
        return drawn
    count = len({str(person) for person in people})
    return wilson(float(h.mean()) * count, count) or (float("nan"), float("nan"))


def over_folds(rates: Sequence[float], hits: int, n: int) -> Interval | None:
    """Of the mean over folds: the wider of Student's t over the ``rates`` and Wilson over all ``n`` trials."""
    pooled = wilson(hits, n)
    if pooled is None or len(rates) < 2:
        return pooled
    from scipy.stats import t

    mean = float(np.mean(rates))
    half = float(t.ppf(0.975, len(rates) - 1) * np.std(rates, ddof=1) / np.sqrt(len(rates)))
    return max(0.0, min(pooled[0], mean - half)), min(1.0, max(pooled[1], mean + half))
