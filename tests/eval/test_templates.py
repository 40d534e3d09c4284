"""Many photos of a pseudonym tell more than one, and none of them is its own witness."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval import gates
from dsanon_eval.attacks.bodies import figures
from dsanon_eval.attacks.reidentification import measure
from dsanon_eval.attacks.reidentification import ranks as one_by_one
from dsanon_eval.attacks.templates import NAME, by_subject, halves, ranks, template
from dsanon_eval.measurement import Gate, Measurement
from dsanon_eval.utility.frames import Body

WHO = np.repeat(np.arange(30), 10)
PEOPLE = [f"person {i}" for i in WHO]
PHOTOS = [f"photo {i:03d}" for i in range(300)]


def found(rows: list[Measurement], control: str = "release") -> Measurement:
    return next(row for row in rows if row.control == control)


def test_a_weak_trace_in_every_photo_adds_up() -> None:
    random = np.random.default_rng(0)
    person = random.normal(size=(30, 64))[WHO]
    original = person + 0.3 * random.normal(size=(300, 64))
    release = 0.2 * person + random.normal(size=(300, 64))
    shown = {"original": original, "release": release, "blackout": random.normal(size=(300, 64))}
    rows = by_subject(shown, PEOPLE, PEOPLE, PHOTOS, "x")
    (single,) = measure(one_by_one(release, original, PEOPLE, own=False), "recall_at_1", "x", "release")
    assert single.value < 0.45
    assert found(rows).value > 0.65
    assert found(rows, "original").value == 1
    assert found(rows, "chance").value == pytest.approx(1 / 30)
    assert found(rows, "blackout").value < 0.15
    assert {(row.name, row.n) for row in rows} == {(NAME, 30)}  # pseudonyms


def test_a_picture_that_is_recognised_names_nobody() -> None:
    """Every face still looks like its very original, and no more like the person than like anybody."""
    original = np.random.default_rng(0).normal(size=(300, 64))
    rows = by_subject({"original": original, "release": original}, PEOPLE, PEOPLE, PHOTOS, "x")
    assert found(rows).value < 0.15


def test_no_photo_is_on_both_sides() -> None:
    photos, people = [*"aabcdef", "a"], [*"xxxxxyy", "y"]
    pooled, known = halves(photos, people)
    assert not {(photos[i], people[i]) for i in pooled} & {(photos[i], people[i]) for i in known}
    assert sorted(pooled + known) == list(range(8))
    assert len({photos[i] for i in pooled if people[i] == "x"}) == 2
    assert len({photos[i] for i in pooled if people[i] == "y"}) == 2
    turned = halves(photos[::-1], people[::-1])
    assert sorted(7 - i for i in turned[0]) == sorted(pooled)


def test_who_is_never_asked_for_makes_nobody_easier_to_guess() -> None:
    """All released faces are the mean face, to which means of five photos lie nearer than 300 single ones: of people
    with two, one of which is pooled."""
    random = np.random.default_rng(0)
    original = 1 + random.normal(size=(900, 64))
    release = 1 + 0.1 * random.normal(size=(900, 64))
    people, photos = [*PEOPLE, *(f"alone {i // 2}" for i in range(600))], [f"photo {i}" for i in range(900)]
    rows = by_subject({"original": original, "release": release}, people, people, photos, "x")
    assert found(rows, "chance").value == pytest.approx(1 / 30)
    assert found(rows).n == 30
    assert found(rows).value <= 3 / 30


def test_templates_by_hand() -> None:
    vectors = np.array([[3, 0], [0, 1], [np.nan, 0], [0, -2]])
    got = template(vectors, [[0, 1], [0, 2], [2], [3]])
    assert got[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])  # of unit vectors: a long one counts no more
    assert got[1].tolist() == [1, 0]
    assert np.isnan(got[2]).all()
    assert got[3].tolist() == [0, -1]


def test_pictures_are_pooled_by_scope_and_a_pseudonym_of_one_is_not_asked() -> None:
    vectors = np.eye(30)[WHO]
    scopes = [f"{person} {i % 2}" for i, person in enumerate(PEOPLE)]
    got = ranks(vectors, vectors, PEOPLE, scopes, PHOTOS)
    assert 30 < len(got.rank) <= 60
    assert not got.rank.any()
    assert len(ranks(vectors, vectors, PEOPLE, PHOTOS, PHOTOS).rank) == 0  # a scope for every photo
    assert by_subject({"original": vectors}, PHOTOS, PHOTOS, PHOTOS, "x") == []  # a person in every photo


def test_a_pseudonym_without_a_vector_counts_as_named() -> None:
    original = np.random.default_rng(0).normal(size=(300, 64))
    release = original.copy()
    release[WHO == 0] = np.nan
    release[np.flatnonzero(WHO == 1)[1:]] = np.nan
    got = ranks(release, original, PEOPLE, PEOPLE, PHOTOS)
    assert len(got.rank) == 30
    assert (got.rank == -1).sum() in (1, 2)
    names = {row.name for row in by_subject({"original": original, "release": release}, PEOPLE, PEOPLE, PHOTOS, "x")}
    assert names == {NAME, f"{NAME}_optimistic"}


def test_controls_are_asked_about_their_own_pictures() -> None:
    vectors = np.eye(30)[WHO]
    looked = {"original": np.ones(300, np.bool_), "blackout": WHO < 10}
    shown = {"original": vectors, "blackout": np.where((WHO < 10)[:, None], vectors, np.nan)}
    rows = by_subject(shown, PEOPLE, PEOPLE, PHOTOS, "x", looked=looked)
    assert (found(rows, "original").n, found(rows, "blackout").n) == (30, 10)
    assert found(rows, "blackout").value == 1


def test_bodies_are_pooled_as_well() -> None:
    bodies = [Body(person, "s", f"p {person}", (0, 0, 9, 9)) for person in PEOPLE]
    vectors = np.eye(30)[WHO]
    rows = [r for r in figures(vectors, {"release": vectors}, bodies, "m") if r.name == f"body_{NAME}"]
    assert (found(rows).value, found(rows).n) == (1, 30)
    assert found(rows, "chance").value == pytest.approx(1 / 30)


def test_three_named_are_three_times_a_guess_among_any_number_of_people() -> None:
    for people in range(7, 60):
        luck = float(np.full(people, 1 / people).mean())
        three, four = (float((np.arange(people) < hits).mean()) for hits in (3, 4))
        bound = Gate("max", 3.0 * luck)
        assert (bound.passed(three), bound.passed(four)) == (True, False)


def test_the_gates_that_ship_hold_it() -> None:
    rules = gates.read_rules(gates.SHIPPED, "lfw")
    for model in ("dlib_resnet", "faceres"):
        values = {"release": 0.1, "chance": 0.03}
        rows = [Measurement(NAME, model, control, value, None, 40) for control, value in values.items()]
        assert gates.apply(rules, rows)[0][0].passed is False
