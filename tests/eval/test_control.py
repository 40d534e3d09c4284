"""Identity control on made-up embeddings: a perfect generator, and one that ignores the vector."""

from __future__ import annotations

import numpy as np
from dsanon_eval.attacks.control import blends, distances, mixes, recall, trials

PEOPLE = [f"p{i // 2}" for i in range(40)]


def test_patterns_and_probes_share_nobody_and_every_source_meets_several_vectors() -> None:
    made = trials(PEOPLE, [3, 5, 7, 9, 11, 13], each=4)
    patterns = {PEOPLE[t.source] for t in made if not t.probe}
    probes = {PEOPLE[t.source] for t in made if t.probe}
    assert patterns
    assert patterns.isdisjoint(probes)
    assert len(made) == 6 * 4 * 2 == len(set(made))
    met: dict[int, int] = {}
    for t in made:
        met[t.source] = met.get(t.source, 0) + 1
    assert min(met.values()) >= 2
    assert made == trials(PEOPLE, [3, 5, 7, 9, 11, 13], each=4)


def embeddings(of_vector: float, of_source: float) -> tuple[np.ndarray, list]:
    made = trials(PEOPLE, list(range(8)), each=5)
    rng = np.random.default_rng(0)
    vectors, sources = rng.normal(size=(8, 32)), rng.normal(size=(40, 32))
    x = np.array([of_vector * vectors[t.vector] + of_source * sources[t.source] for t in made])
    return x / np.linalg.norm(x, axis=1, keepdims=True), made


def test_a_vector_that_decides_all() -> None:
    x, made = embeddings(1.0, 0.05)
    hit, luck = recall(x, made, PEOPLE, "dlib_resnet")
    assert (hit.value, luck.value) == (1.0, 1 / 8)
    figures = {m.name: m.value for m in distances(x, made, PEOPLE, "dlib_resnet")}
    assert figures["control_same_source_is_one_person"] == 0.0
    assert figures["control_same_vector_is_one_person"] == 1.0
    assert figures["control_distance_same_vector"] < figures["control_distance_same_source"]


def test_a_vector_that_decides_nothing() -> None:
    x, made = embeddings(0.0, 1.0)
    hit, _ = recall(x, made, PEOPLE, "faceres")
    assert hit.value < 0.35
    figures = {m.name: m.value for m in distances(x, made, PEOPLE, "faceres")}
    assert figures["control_distance_same_source"] < 1e-6 < figures["control_distance_same_vector"]
    assert "control_same_source_is_one_person" not in figures  # 0.6 is a threshold of dlib's alone


def mixed(lean: float) -> dict[str, float]:
    """Figures of blends that lie at ``lean`` of the way from one parent to the other."""
    made = trials(PEOPLE, list(range(8)), each=5)
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(32, 8)))[0].T
    noise = rng.normal(size=(len(made), 32)) * 0.01
    of = blends(made)
    assert {b.source for b in of} == {t.source for t in made if t.probe}
    assert all(a != b for a, b in (blend.parents for blend in of))
    x = np.array([vectors[t.vector] for t in made]) + noise
    y = np.array([(1 - lean) * vectors[b.parents[0]] + lean * vectors[b.parents[1]] for b in of])
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    found = mixes(x, made, y, of, PEOPLE, "dlib_resnet")
    return {f"{m.name} {m.control}": m.value for m in found}


def test_a_mix_between_its_parents_is_neither_of_them() -> None:
    figures = mixed(0.5)
    assert figures["control_mix_lies_between release"] == 1.0
    assert figures["control_mix_lies_between chance"] == 2 / 56
    assert figures["control_mix_is_a_parent release"] == 0.0  # at 0.77 from either


def test_a_mix_that_is_one_of_its_parents_is_told() -> None:
    assert mixed(0.05)["control_mix_is_a_parent release"] == 0.5  # half of the pairs are with the other parent


def test_a_single_vector_has_no_mixes() -> None:
    assert blends(trials(PEOPLE, [3], each=2)) == []
