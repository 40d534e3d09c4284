"""Linkage: within a scope it is utility, across scopes a leak."""

from __future__ import annotations

import numpy as np
from dsanon_eval.attacks.linkage import linkage
from dsanon_eval.seeing.case import Face

from dsanon.sample import Region


def face(person: str, scope: str) -> Face:
    return Face(person, True, f"{scope}/{person}", scope, "anonymized", Region("face", (0, 0, 1, 1)))


FACES = [face(person, scope) for scope in ("one", "two") for person in "abc" for _ in range(2)]


def figures(vectors: np.ndarray) -> dict[tuple[str, str], float]:
    return {(m.name, m.control): m.value for m in linkage(vectors, FACES, "x")}


def test_another_fake_identity_in_every_scope() -> None:
    place = {subject: i for i, subject in enumerate(sorted({f.subject for f in FACES}))}
    vectors = np.eye(len(place))[[place[f.subject] for f in FACES]]
    found = figures(vectors)
    assert found["linkage_within_scope", "release"] == 1.0
    assert found["linkage_across_scopes", "release"] == 0.0
    assert found["linkage", "release"] == 1.0


def test_a_fake_identity_that_is_shared_across_scopes_is_seen() -> None:
    vectors = np.eye(3)[["abc".index(f.person) for f in FACES]]
    found = figures(vectors + 0.001 * np.arange(12)[:, None])
    assert found["linkage_across_scopes", "release"] == 1.0
    assert found["linkage_across_scopes", "chance"] == 2 / 6


def test_nobody_in_two_scopes() -> None:
    names = {m.name for m in linkage(np.eye(6), FACES[:6], "x")}
    assert names == {"linkage", "linkage_within_scope"}
