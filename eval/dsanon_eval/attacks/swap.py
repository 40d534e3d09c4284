"""Is a painted face the person whom its vector was trained on, or anybody of the training set? It must be nobody.

A gallery of the training people's real photos is asked for the *target* identity of each painted face (the paper's face
swap check): no recogniser may do better than chance. And the nearest training photo of a painted face may be no nearer
than that of a real person who was never in the training set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dsanon_eval.intervals import Interval, share_of_people, wider, wilson
from dsanon_eval.measurement import Measurement

RECALL, NEAREST = "swap_recall_at_1", "swap_near_training_face"
STRANGERS = 0.01  # share of real strangers who are as near to a training photo by chance
_ROWS = 512
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Faces to look for. vectors: (n, d) embeddings, NaN where there is none

    targets: whom each should be, a person of the gallery · people: whose photo each was made of
    """

    vectors: npt.NDArray[np.float32]
    targets: Sequence[str]
    people: Sequence[str]


def nearest(
    probes: npt.ArrayLike, gallery: npt.ArrayLike, apart: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Index of, and Euclidean distance to, the nearest row of ``gallery`` (m, d) for each of ``probes`` (n, d).

    apart: (n,) a row of the gallery that is no answer, as it is the probe itself
    A probe that is no number gets distance 0: who is not seen counts as found.
    """
    p, g = np.asarray(probes, dtype=np.float64), np.asarray(gallery, dtype=np.float64)
    squares = np.square(g).sum(axis=1)
    index, distance = np.zeros(len(p), np.int64), np.zeros(len(p))
    for start in range(0, len(p), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(p)))
        d = np.square(p[rows]).sum(axis=1)[:, None] + squares[None] - 2 * p[rows] @ g.T
        if apart is not None:
            d[np.arange(len(rows)), np.asarray(apart)[rows]] = np.inf
        d = np.where(np.isnan(d), 0.0, d)
        index[rows] = d.argmin(axis=1)
        distance[rows] = np.sqrt(np.maximum(d.min(axis=1), 0))
    return index, distance


def recall(
    asked: Mapping[str, Probes], gallery: npt.NDArray[np.float32], who: Sequence[str], model: str
) -> list[Measurement]:
    """Share of each control's probes whose nearest gallery photo is of the target; and chance, and real photos.

    asked: the release first, whose targets chance is of: over as many probes, not over all controls' together

    gallery: (m, d) of ``who``; each of its photos is asked for among the others, as the control ``target``: how strong
    the recogniser is. Intervals: the wider of those over targets and over the photos' people.
    """
    out = []
    for control, probes in asked.items():
        index, _ = nearest(probes.vectors, gallery)
        missing = ~np.isfinite(probes.vectors).all(axis=1)
        hits = np.array([who[i] == target for i, target in zip(index, probes.targets, strict=True)]) | missing
        out.append(_share(RECALL, model, control, hits, probes))
    targets = next(iter(asked.values())).targets  # chance is the first one's: the release's
    out.append(Measurement(RECALL, model, "chance", _chance(targets, who), None, len(targets)))
    photos, (index, _) = Counter(who), nearest(gallery, gallery, np.arange(len(gallery)))
    several = np.array([photos[person] > 1 for person in who])
    hits = np.array([who[i] == person for i, person in zip(index, who, strict=True)])[several]
    people = [person for person, there in zip(who, several, strict=True) if there]
    if people:
        value = float(hits.mean())
        out.append(Measurement(RECALL, model, "target", value, share_of_people(hits, people), len(hits)))
    return out


def near(
    made: Mapping[str, Probes],
    strangers: npt.NDArray[np.float32],
    whose: Sequence[str],
    gallery: npt.NDArray[np.float32],
    who: Sequence[str],
    model: str,
) -> list[Measurement]:
    """Share of each control's faces that are nearer to a training photo than all but ``STRANGERS`` of real strangers.

    strangers: (k, d) real photos of ``whose``, nobody of the gallery; they are the control ``original`` · gallery:
    (m, d) training photos of ``who``, each also asked for among the others (control ``target``): so near is a face
    that *is* of the training set.
    The interval of the strangers is the wider of that over people and Wilson's over photos: the bootstrap does not see
    how uncertain a bound is that the nearest one or two of few photos set.
    """
    apart = nearest(strangers, gallery)[1]
    bound = np.quantile(apart, STRANGERS)
    met = apart <= bound
    own = _of_people(met, "original", model, whose)
    out = [replace(own, ci95=wider(own.ci95, wilson(int(met.sum()), len(met))))]
    for control, probes in made.items():
        out.append(_share(NEAREST, model, control, nearest(probes.vectors, gallery)[1] <= bound, probes))
    known = nearest(gallery, gallery, np.arange(len(gallery)))[1]
    return [*out, _of_people(known <= bound, "target", model, who)]


def verdict(measured: Sequence[Measurement], model: str) -> list[str]:
    """In words, whether a recogniser that took no part in training finds the training set in the release.

    More than chance: the whole interval is above. No more than chance: it ends below twice chance, or below three times
    (what the gates allow) where the figure itself is not above chance; so many must have been asked that more would
    have shown. Else it cannot be told: of ten faces none is found by a release that gives away one in twenty. Chance of
    a target is exact. That of a stranger is not: the nearest hundredth of few photos is one or two of them, so all of
    its interval counts, the upper end against "more" and the lower against "no more".
    """
    at = {(m.name, m.control): m for m in measured}
    asked = []
    if (RECALL, "release") in at:  # of vectors that name nobody there is none
        luck = at[RECALL, "chance"].value
        asked.append((at[RECALL, "release"], luck, (luck, luck), "recognises the target identity"))
    nearest = "finds painted faces as near to a training photo as the nearest 1 % of strangers"
    strangers = at[NEAREST, "original"]
    asked.append((at[NEAREST, "release"], strangers.value, strangers.ci95 or (0.0, 1.0), nearest))
    out = []
    for m, luck, between, what in asked:
        low, high = m.ci95 or (m.value, m.value)
        about = f"{luck:.1%}" + (f" [{between[0]:.1%}, {between[1]:.1%}]" if between[0] < between[1] else "")
        found = _outcome(m.value, (low, high), between, m.n)
        out.append(f"{model} {what} in {m.value:.1%} [{low:.1%}, {high:.1%}], chance {about}: {found}")
    return out


def _outcome(value: float, interval: Interval, chance: Interval, n: int) -> str:
    """See :func:`verdict`. interval: of ``value``, over ``n`` faces · chance: from, to"""
    (low, high), (least, most) = interval, chance
    if low > most:
        return "more than chance: not as the paper claims"
    if high <= 2 * least or (value <= least and high <= 3 * least):
        return "no more than chance"
    return f"cannot be told from chance with n = {n}"


def _of_people(hits: npt.NDArray[np.bool_], control: str, model: str, people: Sequence[str]) -> Measurement:
    return Measurement(NEAREST, model, control, float(hits.mean()), share_of_people(hits, people), len(hits))


def _share(name: str, model: str, control: str, hits: npt.NDArray[np.bool_], probes: Probes) -> Measurement:
    interval = wider(share_of_people(hits, probes.targets), share_of_people(hits, probes.people))
    return Measurement(name, model, control, float(hits.mean()), interval, len(hits))


def _chance(targets: Sequence[str], who: Sequence[str]) -> float:
    """Of a random photo of the gallery being of the target: the mean over all targets."""
    photos = Counter(who)
    return float(np.mean([photos[target] / len(who) for target in targets]))
