"""Identity control on made-up embeddings: a perfect generator, and one that ignores the vector."""

from __future__ import annotations

import numpy as np
from dsanon_eval.attacks.control import distances, recall, trials

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
