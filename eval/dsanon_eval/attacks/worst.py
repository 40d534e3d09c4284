"""The people worst off: a mean over everybody can hide a few who are recognised in all of their photos.

Whoever looks for the worst among many finds somebody by luck alone. So people are chosen by one half of their photos
and measured by the other, both ways: who is only unlucky in the first half is not in the second.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from dsanon_eval.attacks.reidentification import Ranks, measure
from dsanon_eval.intervals import wilson
from dsanon_eval.measurement import Curve, Measurement

NAME, SHARE = "worst_recall_at_1", "worst_share_of_people"
WORST = 0.05  # of the people
LEAST = 20  # people, below which nobody is the worst twentieth


def worst(found: Ranks, model: str, control: str) -> list[Measurement]:
    """Recall@1 of the worst twentieth of people, and the share of people who are named in more than half their photos.

    Of people with two probes or more. The share says what luck alone would reach beside it.
    """
    hits = (found.rank <= 0).astype(np.float64)  # a missing face counts as recognised
    rows = _rows(found)
    if len(rows) < LEAST:
        return []
    chosen: list[int] = []
    for half in (0, 1):
        order = sorted(rows.values(), key=lambda mine: _badness(found, mine[half::2]), reverse=True)
        for mine in order[: ceil(WORST * len(rows))]:
            chosen += mine[1 - half :: 2].tolist()
    some = Ranks(found.rank[chosen], found.chance[chosen], tuple(found.people[i] for i in chosen))
    out = measure(some, NAME, model, control)
    each = [float(hits[mine].mean()) > 0.5 for mine in rows.values()]
    share = float(np.mean(each))
    out.append(Measurement(SHARE, model, control, share, wilson(sum(each), len(each)), len(each)))
    return out


def luck(found: Ranks, model: str) -> list[Measurement]:
    """What guessing reaches of both: of the worst what it reaches of anybody, for they are measured on other photos."""
    from scipy.stats import binom

    rows = _rows(found)
    if len(rows) < LEAST:
        return []
    mean = float(np.mean([found.chance[mine].mean() for mine in rows.values()]))
    each = [binom.sf(len(mine) // 2, len(mine), found.chance[mine].mean()) for mine in rows.values()]
    return [
        Measurement(NAME, model, "chance", mean, None, len(rows)),
        Measurement(SHARE, model, "chance", float(np.mean(each)), None, len(rows)),
    ]


def people(found: Ranks, model: str, control: str) -> list[Curve]:
    """The share of people who are named in at least x of their photos, of people with two or more; () without any."""
    shares = np.array([(found.rank[mine] <= 0).mean() for mine in _rows(found).values()])
    if not shares.size:
        return []
    x = tuple(float(v) for v in np.linspace(0.05, 1, 20).round(2))
    y = [int((shares >= v - 1e-9).sum()) for v in x]
    bands = [wilson(count, len(shares)) or (0.0, 1.0) for count in y]
    curve = Curve(
        f"people_{model.split()[0]}",
        control,
        "share of a person's photos named correctly",
        "share of people, at least so often",
        x,
        tuple(count / len(shares) for count in y),
        tuple(low for low, _ in bands),
        tuple(high for _, high in bands),
    )
    return [curve]


def _rows(found: Ranks) -> dict[str, npt.NDArray[np.int64]]:
    """The probes of everybody who has two or more."""
    rows: dict[str, list[int]] = {}
    for i, person in enumerate(found.people):
        rows.setdefault(person, []).append(i)
    return {person: np.array(mine) for person, mine in rows.items() if len(mine) > 1}


def _badness(found: Ranks, mine: npt.NDArray[np.int64]) -> tuple[float, float]:
    """How often somebody is named, and how near they come where they are not."""
    rank = np.maximum(found.rank[mine], 0)
    return float((rank == 0).mean()), -float(np.log1p(rank).mean())
