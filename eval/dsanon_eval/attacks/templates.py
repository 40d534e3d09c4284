"""Recall@1 by many photos of a pseudonym at once: the manifest says which released pictures are of one person.

As IJB's templates (Klare et al., CVPR 2015) the mean of a pseudonym's embeddings is looked for among those of people's
originals: what a single picture hardly shows adds up, pose and light average out. One half of a person's photos is
pooled, the other is the gallery: no photo is on both sides, so that a match is by the person, never by a picture.
The gallery is of those who are asked for, and of nobody else: the mean of several photos lies nearer to anything than
one photo does, so that a guess, too, would name people with several too often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dsanon_eval.attacks.reidentification import Ranks, chance, measure
from dsanon_eval.measurement import Measurement

NAME = "subject_recall_at_1"
LEAST = 2  # pictures that are pooled: of a single one recall_at_1 tells
Vectors = npt.NDArray[np.float64]


def halves(photos: Sequence[str], people: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows that are pooled, and rows of the gallery: every other photo of a person, the larger half pooled.

    In an order that follows from the photos' names alone; the pictures of one person in one photo are on one side.
    """
    mine: dict[str, set[str]] = {}
    for photo, person in zip(photos, people, strict=True):
        mine.setdefault(person, set()).add(photo)
    pooled = {(person, photo) for person, some in mine.items() for photo in sorted(some, key=_digest)[::2]}
    rows: tuple[list[int], list[int]] = ([], [])
    for i, (photo, person) in enumerate(zip(photos, people, strict=True)):
        rows[(person, photo) not in pooled].append(i)
    return rows


def template(vectors: npt.ArrayLike, rows: Sequence[Sequence[int]]) -> Vectors:
    """(k, d) of unit length: the mean of the unit ``vectors`` (n, d) of each group of ``rows``; NaN where none is."""
    x = np.asarray(vectors, dtype=np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    there = np.isfinite(x).all(axis=1)
    out = np.full((len(rows), x.shape[1]), np.nan)
    for k, group in enumerate(rows):
        if some := [i for i in group if there[i]]:
            out[k] = x[some].mean(axis=0)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))


def ranks(
    probes: npt.ArrayLike,
    gallery: npt.ArrayLike,
    people: Sequence[str],
    subjects: Sequence[str],
    photos: Sequence[str],
    asked: npt.ArrayLike | None = None,
) -> Ranks:
    """Rank the person of every pseudonym, of which ``LEAST`` pictures or more are pooled.

    probes, gallery: (n, d), row i of both is the same picture, NaN where there is none · people, photos: (n,)
    subjects: (n,) pseudonyms, no two scopes share one · asked: (n,) which pictures are pooled at all, by default all
    A pseudonym without any embedding stays in, as missing; one whose person has no original in the gallery is none.
    """
    pooled, known = halves(photos, people)
    groups = _grouped([subjects[i] for i in pooled], pooled)
    groups = {subject: rows for subject, rows in groups.items() if len(rows) >= LEAST}
    of_whom = {subject: people[rows[0]] for subject, rows in groups.items()}
    wanted = set(of_whom.values())
    originals = _grouped([people[i] for i in known], known)
    originals = {person: rows for person, rows in originals.items() if person in wanted}
    templates = template(gallery, list(originals.values()))
    there: npt.NDArray[np.bool_] = np.asarray(np.isfinite(templates).all(axis=1))
    names = [person for person, usable in zip(originals, there.tolist(), strict=True) if usable]
    place = {person: k for k, person in enumerate(names)}
    if asked is not None:
        looked = np.asarray(asked, dtype=np.bool_)
        groups = {subject: [i for i in rows if looked[i]] for subject, rows in groups.items()}
    probed = [key for key, rows in groups.items() if len(rows) >= LEAST and of_whom[key] in place]
    who = [of_whom[subject] for subject in probed]
    if not who:
        return Ranks(np.zeros(0, np.int64), np.zeros(0), ())
    seen = template(probes, [groups[subject] for subject in probed])
    usable: npt.NDArray[np.bool_] = np.asarray(np.isfinite(seen).all(axis=1))
    likeness = np.where(usable[:, None], seen, 0) @ templates[there].T
    own = likeness[np.arange(len(who)), [place[person] for person in who]]
    rank = (likeness >= own[:, None]).sum(axis=1) - 1  # a tie is no success
    return Ranks(np.where(usable, rank, -1).astype(np.int64), np.full(len(who), 1 / len(names)), tuple(who))


def by_subject(
    shown: Mapping[str, npt.ArrayLike],
    people: Sequence[str],
    subjects: Sequence[str],
    photos: Sequence[str],
    model: str,
    name: str = NAME,
    looked: Mapping[str, npt.ArrayLike] | None = None,
) -> list[Measurement]:
    """Of every kind of picture. n: pseudonyms. shown: kind → (n, d), ``original`` among them · looked: kind → (n,)

    A guess is one of the people asked for, whatever the picture; () where nobody has enough pictures.
    """
    out: list[Measurement] = []
    for control, probes in shown.items():
        asked = None if looked is None else looked[control]
        found = ranks(probes, shown["original"], people, subjects, photos, asked)
        out += measure(found, name, model, control)
        out += chance(found, name, model) if control == "original" else []
    return out


def _grouped(names: Sequence[str], rows: Sequence[int]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for name, row in zip(names, rows, strict=True):
        out.setdefault(name, []).append(row)
    return out


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
