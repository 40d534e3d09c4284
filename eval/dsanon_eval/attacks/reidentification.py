"""Recall@1: is the nearest original of an anonymized face one of the same person?

Nobody leaves the denominator. A face without an embedding (it could not be cropped) is a failure of the attack in the
optimistic bound, a success in the pessimistic one; the figure itself is the pessimistic one where they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsanon_eval.intervals import share_of_people, shares_of_people
from dsanon_eval.measurement import Curve, Measurement

Floats = npt.NDArray[np.float64]
DEPTH = 20  # ranks of a CMC curve
_ROWS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """The rank (0 is best) of the nearest right gallery face for each probe; -1: no embedding.

    chance: the probability that a random gallery face is of the probe's person · people: of each probe
    rows: of each probe among the faces that were ranked · among: how many gallery faces each was compared with
    """

    rank: npt.NDArray[np.int64]
    chance: Floats
    people: tuple[str, ...]
    rows: tuple[int, ...] = ()
    among: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def ranks(
    probes: npt.ArrayLike,
    gallery: npt.ArrayLike,
    people: Sequence[str],
    own: bool,
    apart: Sequence[str] | None = None,
    asked: npt.ArrayLike | None = None,
) -> Ranks:
    """Rank every probe's person among the gallery of originals.

    probes, gallery: (n, d), row i of both is the same face, NaN where there is none · people: (n,)
    own: whether the probe's own photo stays in the gallery. Without it, a person's only photo is no probe.
    apart: (n,) groups; a probe is compared with the faces of other groups only
    asked: (n,) which rows are probes at all; by default every one. Never a way to leave out a face that is missing
    """
    p, g = np.asarray(probes, dtype=np.float32), np.asarray(gallery, dtype=np.float32)
    who = np.unique(list(people), return_inverse=True)[1]
    group = np.arange(len(who)) if apart is None else np.unique(list(apart), return_inverse=True)[1]
    there: npt.NDArray[np.bool_] = np.asarray(np.isfinite(g).all(axis=1))
    usable: npt.NDArray[np.bool_] = np.asarray(np.isfinite(p).all(axis=1))
    g, p = np.where(there[:, None], g, 0), np.where(usable[:, None], p, 0)
    squares = np.square(g).sum(axis=1)
    probe = np.ones(len(who), np.bool_) if asked is None else np.asarray(asked, dtype=np.bool_)
    # whose only photo this is need not be compared with everybody's
    able = np.flatnonzero(probe & (np.bincount(who[there], minlength=len(who))[who] > (there & (not own))))
    rank, chances, among, whom = [], [], [], []
    for start in range(0, len(able), _ROWS):
        rows = able[start : start + _ROWS]
        open_to = np.broadcast_to(there, (len(rows), len(who))).copy()
        if not own:
            open_to &= group[None] != group[rows][:, None]
        right = open_to & (who[None] == who[rows][:, None])
        mates = right.sum(axis=1)
        distance = squares[None] - 2 * p[rows] @ g.T
        best = np.where(right, distance, np.inf).min(axis=1)
        # a tie is no success: wrong faces at the same distance come first
        before = (open_to & ~right & (distance <= best[:, None])).sum(axis=1)
        known = mates > 0
        rank.append(np.where(usable[rows], before, -1)[known])
        among.append(open_to.sum(axis=1)[known])
        chances.append(mates[known] / among[-1])
        whom += rows[known].tolist()
    if not whom:
        return Ranks(np.zeros(0, np.int64), np.zeros(0), ())
    asked_of = tuple(people[i] for i in whom)
    return Ranks(np.concatenate(rank), np.concatenate(chances), asked_of, tuple(whom), np.concatenate(among))


def measure(found: Ranks, name: str, model: str, control: str) -> list[Measurement]:
    """Recall@1 with its interval over people; both bounds where some probes had no embedding; n: probes."""
    n = len(found.rank)
    if n == 0:
        return []
    missing = found.rank < 0
    worst = (found.rank == 0) | missing
    out = [Measurement(name, model, control, float(worst.mean()), share_of_people(worst, found.people), n)]
    if missing.any():
        best = found.rank == 0
        out.append(
            Measurement(
                f"{name}_optimistic", model, control, float(best.mean()), share_of_people(best, found.people), n
            )
        )
    return out


def chance(found: Ranks, name: str, model: str) -> list[Measurement]:
    """What a blind guess would reach with the same probes and gallery: exact, so without an interval."""
    return (
        [Measurement(name, model, "chance", float(found.chance.mean()), None, len(found.rank))] if found.people else []
    )


def cmc(found: Ranks, model: str, control: str) -> Curve:
    """Share of probes whose person is among the k nearest, for k from 1 to ``DEPTH``; missing ones count as found."""
    y = [float((found.rank < k).mean()) if len(found.rank) else 0.0 for k in range(1, DEPTH + 1)]
    ranks_to = np.arange(1, DEPTH + 1)[:, None]
    bands = shares_of_people(found.rank[None] < ranks_to, found.people) if found.people else []
    return _curve(model, control, y, bands)


def cmc_chance(found: Ranks, model: str) -> Curve:
    """What a blind guess would reach with the same probes and gallery, so without a band: that in a random order the
    first k faces have one of the person's (hypergeometric).
    """
    others, missed, y = found.among - np.rint(found.chance * found.among), np.ones(len(found.among)), []
    for k in range(DEPTH):
        missed *= np.maximum(others - k, 0) / np.maximum(found.among - k, 1)
        y.append(1 - float(missed.mean()))
    return _curve(model, "chance", y, [])


def _curve(model: str, control: str, y: Sequence[float], bands: Sequence[tuple[float, float]]) -> Curve:
    x = tuple(float(k) for k in range(1, DEPTH + 1))
    low, high = tuple(b[0] for b in bands), tuple(b[1] for b in bands)
    return Curve(f"cmc_{model.split()[0]}", control, "rank", "identification rate", x, tuple(y), low, high)
