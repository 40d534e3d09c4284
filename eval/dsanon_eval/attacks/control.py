"""Identity control: does the control vector decide who a generated face is, and nothing else?

(a) A recogniser that took no part finds the vector of faces painted over unseen people, knowing each vector by faces
painted over others. (b) One source under two vectors must be two people; one vector on two sources, one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsanon_eval.intervals import bootstrap_mean, share_of_people
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


def recall(vectors: npt.ArrayLike, who: Sequence[Trial], people: Sequence[str], model: str) -> list[Measurement]:
    """(a) Share of probes whose nearest pattern, the mean of a vector's pattern faces, is their own vector's.

    vectors: (n, d) embeddings of the painted faces of ``who`` · people: of the sources · n: probes
    """
    x = np.asarray(vectors, dtype=np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    which, probe = np.array([t.vector for t in who]), np.array([t.probe for t in who], dtype=bool)
    known = np.unique(which[~probe])
    patterns = np.stack([x[(which == v) & ~probe].mean(axis=0) for v in known])
    nearest = known[np.square(x[probe][:, None] - patterns[None]).sum(axis=2).argmin(axis=1)]
    hits = nearest == which[probe]
    sources = [people[t.source] for t in who if t.probe]
    name = f"control_recall_at_1_of_{len(known)}"
    return [
        Measurement(name, model, "release", float(hits.mean()), share_of_people(hits, sources), len(hits)),
        Measurement(name, model, "chance", 1 / len(known), None, len(hits)),
    ]


def distances(vectors: npt.ArrayLike, who: Sequence[Trial], people: Sequence[str], model: str) -> list[Measurement]:
    """(b) Mean distances, and for dlib's ResNet the share of pairs that it takes for one person (below 0.6).

    same_source: one photo, two vectors (must be two people) · same_vector: two people's photos, one vector (must be
    one) · neither: two people, two vectors. Intervals: bootstrap over the people of the first photo.
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
        names = person[a[rows]].tolist()
        mean = float(apart.mean())
        out.append(
            Measurement(f"control_distance_{kind}", model, "release", mean, bootstrap_mean(apart, names), len(rows))
        )
        if model == "dlib_resnet":
            one = apart < DLIB_SAME_PERSON
            interval = share_of_people(one, names)
            out.append(
                Measurement(f"control_{kind}_is_one_person", model, "release", float(one.mean()), interval, len(rows))
            )
    return out
