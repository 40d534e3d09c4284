"""Identity control: does the control vector decide who a generated face is, and nothing else?

(a) A recogniser that took no part finds the vector of faces painted over unseen people, knowing each vector by faces
painted over others. (b) One source under two vectors must be two people; one vector on two sources, one.
(c) A mix of two vectors must lie between them, and be neither of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsanon_eval.intervals import bootstrap_mean, share_of_people, wider
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks.recognisers import DLIB_SAME_PERSON

Floats = npt.NDArray[np.float64]
_PAIRS = 20_000  # of each kind, at most


@dataclass(frozen=True, slots=True)
class Trial:
    """One face to paint. source: index of a face · vector: of a training identity · probe: else it is a pattern."""

    source: int
    vector: int
    probe: bool


def trials(people: Sequence[str], vectors: Sequence[int], each: int, seed: int = 0) -> list[Trial]:
    """``each`` patterns and ``each`` probes of every vector, over sources of ``people`` (n); no person in both.

    Sources are dealt out in turn, so that each appears under about half of the vectors, and under none twice.
    Raises ValueError for less than two people.
    """
    rng = np.random.default_rng(seed)
    names = rng.permutation(sorted(set(people))).tolist()
    if len(names) < 2:
        raise ValueError("control needs sources of at least two people")
    first = set(names[: len(names) // 2])
    out = []
    for probe in (False, True):
        deck = [i for i, person in enumerate(people) if (person in first) != probe]
        deck = rng.permutation(deck).tolist()[: 2 * each]  # few, so that each is seen under many vectors
        for turn, vector in enumerate(vectors):
            count = min(each, len(deck))
            start = turn * max(1, count // 2)
            out += [Trial(deck[(start + k) % len(deck)], int(vector), probe) for k in range(count)]
    return out


@dataclass(frozen=True, slots=True)
class Blend:
    """One face to paint under two vectors in equal parts. source: index of a face."""

    source: int
    parents: tuple[int, int]


def blends(who: Sequence[Trial]) -> list[Blend]:
    """A blend of each probe's vector and the next one, over the probe's source; none for a single vector."""
    vectors = sorted({trial.vector for trial in who})
    following = dict(zip(vectors, [*vectors[1:], vectors[0]], strict=True))
    if len(vectors) < 2:
        return []
    return [Blend(t.source, (t.vector, following[t.vector])) for t in who if t.probe]


def recall(vectors: npt.ArrayLike, who: Sequence[Trial], people: Sequence[str], model: str) -> list[Measurement]:
    """(a) Share of probes whose nearest pattern, the mean of a vector's pattern faces, is their own vector's.

    vectors: (n, d) embeddings of the painted faces of ``who`` · people: of the sources · n: probes
    """
    x = _unit(vectors)
    known, patterns = _patterns(x, who)
    which, probe = np.array([t.vector for t in who]), np.array([t.probe for t in who], dtype=bool)
    hits = known[_apart(x[probe], patterns).argmin(axis=1)] == which[probe]
    sources, asked = [people[t.source] for t in who if t.probe], [str(t.vector) for t in who if t.probe]
    interval = wider(share_of_people(hits, sources), share_of_people(hits, asked))
    name = f"control_recall_at_1_of_{len(known)}"
    return [
        Measurement(name, model, "release", float(hits.mean()), interval, len(hits)),
        Measurement(name, model, "chance", 1 / len(known), None, len(hits)),
    ]


def distances(vectors: npt.ArrayLike, who: Sequence[Trial], people: Sequence[str], model: str) -> list[Measurement]:
    """(b) Mean distances, and for dlib's ResNet the share of pairs that it takes for one person (below 0.6).

    same_source: one photo, two vectors (must be two people) · same_vector: two people's photos, one vector (must be
    one) · neither: two people, two vectors. Intervals: the widest over the people and the vectors of either side.
    """
    x = np.asarray(vectors, dtype=np.float64)
    source, vector = np.array([t.source for t in who]), np.array([t.vector for t in who])
    person = np.unique([people[t.source] for t in who], return_inverse=True)[1]
    a, b = np.triu_indices(len(who), 1)
    kinds = {
        "same_source": (source[a] == source[b]) & (vector[a] != vector[b]),
        "same_vector": (person[a] != person[b]) & (vector[a] == vector[b]),
        "neither": (person[a] != person[b]) & (vector[a] != vector[b]),
    }
    out = []
    for kind, chosen in kinds.items():
        rows = np.flatnonzero(chosen)
        rows = np.random.default_rng(0).permutation(rows)[:_PAIRS]
        if not len(rows):
            continue
        apart = np.linalg.norm(x[a[rows]] - x[b[rows]], axis=1)
        clusters = [array[rows].tolist() for array in (person[a], person[b], vector[a], vector[b])]
        mean = float(apart.mean())
        interval = wider(*(bootstrap_mean(apart, names, within=(0.0, np.inf)) for names in clusters))
        out.append(Measurement(f"control_distance_{kind}", model, "release", mean, interval, len(rows)))
        if model == "dlib_resnet":
            one = apart < DLIB_SAME_PERSON
            share = wider(*(share_of_people(one, names) for names in clusters))
            out.append(
                Measurement(f"control_{kind}_is_one_person", model, "release", float(one.mean()), share, len(rows))
            )
    return out


def mixes(
    vectors: npt.ArrayLike,
    who: Sequence[Trial],
    blended: npt.ArrayLike,
    of: Sequence[Blend],
    people: Sequence[str],
    model: str,
) -> list[Measurement]:
    """(c) Share of blends whose two nearest patterns are their parents'; and, for dlib's ResNet, the share of pairs of
    a blend and a parent's pattern face that it takes for one person (below 0.6).

    vectors: (n, d) of the painted faces of ``who`` · blended: (m, d) of those of ``of`` · people: of the sources
    """
    x, y = _unit(vectors), _unit(blended)
    known, patterns = _patterns(x, who)
    sources = [people[blend.source] for blend in of]
    two = np.sort(known[np.argsort(_apart(y, patterns), axis=1)[:, :2]], axis=1)
    hits = (two == np.sort([blend.parents for blend in of], axis=1)).all(axis=1)
    interval = wider(share_of_people(hits, sources), share_of_people(hits, [str(blend.parents) for blend in of]))
    name, chance = "control_mix_lies_between", 2 / (len(known) * (len(known) - 1))
    out = [
        Measurement(name, model, "release", float(hits.mean()), interval, len(hits)),
        Measurement(name, model, "chance", chance, None, len(hits)),
    ]
    if model == "dlib_resnet":
        raw, mixed = (np.asarray(v, dtype=np.float64) for v in (vectors, blended))
        pairs = [
            (i, j)
            for i, blend in enumerate(of)
            for j, trial in enumerate(who)
            if not trial.probe and trial.vector in blend.parents
        ]
        one = np.array([np.linalg.norm(mixed[i] - raw[j]) < DLIB_SAME_PERSON for i, j in pairs])
        interval = share_of_people(one, [sources[i] for i, _ in pairs])
        out.append(Measurement("control_mix_is_a_parent", model, "release", float(one.mean()), interval, len(one)))
    return out


def _unit(vectors: npt.ArrayLike) -> Floats:
    x = np.asarray(vectors, dtype=np.float64)
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9))


def _patterns(x: Floats, who: Sequence[Trial]) -> tuple[npt.NDArray[np.int64], Floats]:
    """The vectors that have pattern faces, sorted, and the mean of each one's: (k,), (k, d)."""
    which, probe = np.array([t.vector for t in who]), np.array([t.probe for t in who], dtype=bool)
    known = np.unique(which[~probe])
    return known, np.stack([x[(which == v) & ~probe].mean(axis=0) for v in known])


def _apart(x: Floats, patterns: Floats) -> Floats:
    """Squared distances (n, k)."""
    return np.asarray(np.square(x[:, None] - patterns[None]).sum(axis=2))
