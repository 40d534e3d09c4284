"""LFW's verification protocol as the paper uses it: TAR at FAR 0.001, the second image of each pair anonymized.

Scores are negative distances: higher is more alike. A pair is accepted where its score reaches the threshold. The
threshold of a fold comes from the other folds, never from its own pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dsanon.sources.lfw import Pair
from dsanon_eval.intervals import over_folds, shares_of_people
from dsanon_eval.measurement import Curve, Measurement

FAR = 0.001
MOST = 4000  # photos of which all pairs are compared: eight million pairs, and sixteen of originals with a control's
_BLOCK = 256
Floats = npt.NDArray[np.float64]
Key = tuple[str, int]  # person and number of a photo


@dataclass(frozen=True, slots=True)
class FoldScores:
    """Scores of one fold's pairs. A face that could not be cropped is no success of privacy: its genuine pairs have the
    score inf, always accepted, and its impostor pairs -inf, never, so that no threshold rises by it.

    genuine, impostor: second image as the control has it · clean: the impostor pairs with both images as they were
    """

    genuine: Floats
    impostor: Floats
    clean: Floats


def threshold_at(impostor: npt.ArrayLike, far: float) -> float:
    """The lowest threshold at which at most ``far`` of the impostor scores are accepted.

    Just above the first score that would be one too many; +inf without impostors.
    """
    return float(thresholds_at(impostor, [far])[0])


def thresholds_at(impostor: npt.ArrayLike, fars: Sequence[float]) -> Floats:
    """That of each of ``fars``: impostors may be millions, and are sorted once."""
    scores = np.sort(np.asarray(impostor, dtype=np.float64).reshape(-1))[::-1]
    if not scores.size:
        return np.full(len(fars), np.inf)
    allowed = np.floor(np.asarray(fars, dtype=np.float64) * scores.size + 1e-9).astype(np.int64)
    above = np.nextafter(scores[np.minimum(allowed, scores.size - 1)], np.inf)
    return np.where(allowed < scores.size, above, -np.inf)


def tar_at_far(genuine: npt.ArrayLike, impostor: npt.ArrayLike, far: float) -> float:
    """True accept rate of ``genuine`` at the threshold of ``impostor``; nan without genuine scores."""
    scores = np.asarray(genuine, dtype=np.float64).reshape(-1)
    return float((scores >= threshold_at(impostor, far)).mean()) if scores.size else float("nan")


def scores_of(pairs: Sequence[Pair], first: Vectors, second: Vectors) -> Floats:
    """Each pair's score, its images from ``first`` and ``second``; see :class:`FoldScores` where one is missing."""
    scores = np.array([np.inf if pair.same else -np.inf for pair in pairs], dtype=np.float64)
    for row, pair in enumerate(pairs):
        a, b = first.get((pair.first, pair.i)), second.get((pair.second, pair.j))
        if a is not None and b is not None:
            scores[row] = -float(np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64)))
    return scores


Vectors = dict[Key, npt.NDArray[np.float32]]


def guessed(impostors: int, far: float = FAR) -> float:
    """How often a genuine pair passes that nothing tells from ``impostors`` pairs, at their own threshold: exact.

    Of few it is above ``far``: just above the most alike of 24 pairs one pair in 25 lies.
    """
    return min(1.0, (int(far * impostors + 1e-9) + 1) / (impostors + 1))


def fold_scores(folds: Sequence[Sequence[Pair]], originals: Vectors, second: Vectors) -> list[FoldScores]:
    """The scores of all folds; ``second`` holds the control's embeddings of second images."""
    out = []
    for fold in folds:
        genuine, impostor = [p for p in fold if p.same], [p for p in fold if not p.same]
        out.append(
            FoldScores(
                scores_of(genuine, originals, second),
                scores_of(impostor, originals, second),
                scores_of(impostor, originals, originals),
            )
        )
    return out


def fold_rates(folds: Sequence[FoldScores], calibration: str, far: float = FAR) -> list[float]:
    """TAR of each fold at the threshold of the others'. calibration: ``clean`` or ``impostor`` (the control's own).

    Raises ValueError for less than two folds.
    """
    if len(folds) < 2:
        raise ValueError("the threshold comes from the other folds: at least two are needed")
    rates = []
    for held, fold in enumerate(folds):
        others = np.concatenate([getattr(f, calibration) for i, f in enumerate(folds) if i != held])
        rates.append(tar_at_far(fold.genuine, others, far))
    return rates


def drawn(keys: Iterable[Key], limit: int = MOST) -> list[Key]:
    """At most ``limit`` of the photos, sorted: one of everybody before a second of anybody; who and which follows from
    a hash of the names, so that no letter of the alphabet is preferred.
    """
    mine: dict[str, list[Key]] = {}
    for key in sorted(keys, key=_hashed):
        mine.setdefault(key[0], []).append(key)
    turns = sorted((turn, _hashed((person, 0)), key) for person, own in mine.items() for turn, key in enumerate(own))
    return sorted(key for *_, key in turns[:limit])


def drawn_of(count: int, limit: int = MOST) -> str:
    """In words: of how many of ``count`` photos the pairs are."""
    if count <= limit:
        return f"all {count:,} photos"
    return f"{limit:,} of {count:,} photos, drawn by a hash of their names, one of everybody first"


def _hashed(key: Key) -> bytes:
    return hashlib.sha256(f"impostor {key[0]} {key[1]}".encode("utf-8", "surrogateescape")).digest()


def all_pairs_impostors(vectors: Vectors, limit: int = MOST) -> Floats:
    """Scores of all pairs of different people among at most ``limit`` embeddings; see :func:`drawn`."""
    keys = drawn(vectors, limit)
    if not keys:
        return np.zeros(0)
    x = np.array([vectors[key] for key in keys], dtype=np.float32)
    people = np.unique([key[0] for key in keys], return_inverse=True)[1]
    rows = []
    squares = np.square(x).sum(axis=1)
    for i in range(len(keys) - 1):
        others = np.flatnonzero(people[i + 1 :] != people[i]) + i + 1
        rows.append(-np.sqrt(np.maximum(squares[i] + squares[others] - 2 * x[others] @ x[i], 0)))
    return np.concatenate(rows).astype(np.float64) if rows else np.zeros(0)


def own_impostors(originals: Vectors, second: Vectors, limit: int = MOST) -> Floats:
    """Scores of all pairs of an original and a control's picture of somebody else; of at most ``limit`` on either side.

    A picture without an embedding has the score -inf; see :class:`FoldScores`.
    """
    mine, theirs = drawn(originals, limit), drawn(second, limit)
    if not mine or not theirs:
        return np.zeros(0)
    x, y = np.array([originals[key] for key in mine], np.float32), np.array([second[key] for key in theirs], np.float32)
    people = np.unique([key[0] for key in (*mine, *theirs)], return_inverse=True)[1]
    who, whose = people[: len(mine)], people[len(mine) :]
    squares, rows = np.square(x).sum(axis=1), []
    for start in range(0, len(theirs), _BLOCK):
        some, others = y[start : start + _BLOCK], whose[start : start + _BLOCK, None] != who
        apart = np.sqrt(np.maximum(np.square(some).sum(axis=1)[:, None] + squares - 2 * some @ x.T, 0))
        rows.append(-np.where(np.isfinite(apart), apart, np.inf)[others])
    return np.concatenate(rows).astype(np.float64)


def measure(folds: Sequence[FoldScores], model: str, control: str, everybody: Floats) -> list[Measurement]:
    """TAR at FAR 0.001 by three thresholds: impostors of originals, of the control itself, and of all pairs.

    everybody: :func:`all_pairs_impostors` of the originals. n: genuine pairs. The mean over folds; its deviation is a
    measurement of its own (``…_std``). 2,700 impostor pairs are 2.7 false accepts at 0.001: hence the third.
    """
    genuine = np.concatenate([fold.genuine for fold in folds])
    out = []
    rates = {name: fold_rates(folds, kind) for name, kind in (("tar_at_far", "clean"), ("tar_at_far_own", "impostor"))}
    rates["tar_at_far_all_pairs"] = [tar_at_far(fold.genuine, everybody, FAR) for fold in folds]
    for name, by_fold in rates.items():
        mean = float(np.mean(by_fold))
        interval = over_folds(by_fold, round(mean * genuine.size), genuine.size)
        out.append(Measurement(name, model, control, mean, interval, genuine.size))
        out.append(Measurement(f"{name}_std", model, control, float(np.std(by_fold, ddof=1)), None, len(by_fold)))
    return out


def roc(genuine: Floats, people: Sequence[str], model: str, control: str, impostor: Floats, steps: int = 60) -> Curve:
    """TAR of genuine pairs' scores against FAR from 1e-4 to 1, thresholds from the control's own ``impostor`` pairs:
    by those of originals a control whose pictures all lie further off would seem worse than guessing.

    people: of each pair, over whom the band is: the pairs of one person are not independent
    Of few impostors it begins where one of them is accepted: a lower rate cannot be told.
    """
    fars = np.geomspace(min(1.0, max(1e-4, 1 / max(1, impostor.size))), 1, steps)
    hits = genuine[None] >= thresholds_at(impostor, fars.tolist())[:, None]
    bands = shares_of_people(hits, people)
    return Curve(
        f"roc_{model.split()[0]}",
        control,
        "false accept rate",
        "true accept rate",
        tuple(float(f) for f in fars),
        tuple(hits.mean(axis=1).tolist()),
        tuple(low for low, _ in bands),
        tuple(high for _, high in bands),
        log_x=True,
    )


def guessing(curves: Sequence[Curve]) -> list[Curve]:
    """The line of a ROC beside those of ``curves``: who cannot tell people apart accepts both alike, TAR = FAR."""
    if not curves:
        return []
    x = min((curve.x for curve in curves), key=lambda fars: fars[0])
    return [replace(curves[0], label="chance", x=x, y=x, low=(), high=())]


def similarity(scores: npt.ArrayLike, model: str, label: str) -> Curve:
    """How the distances of pairs are distributed: the share of pairs in each of forty bins, by the bin's middle."""
    apart = -np.asarray(scores, dtype=np.float64)
    apart = apart[np.isfinite(apart)]
    edges = np.linspace(0, 2, 41)  # unit vectors are at most 2 apart, dlib's hardly more than 1
    counts, _ = np.histogram(apart.clip(max=2), edges)
    middles, shares = (edges[:-1] + edges[1:]) / 2, counts / max(1, apart.size)
    return Curve(
        f"similarity_{model.split()[0]}",
        label,
        "distance",
        "share of pairs",
        tuple(middles.tolist()),
        tuple(shares.tolist()),
    )
