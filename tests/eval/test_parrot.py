"""The parrot: learns from anonymized photos, is asked about others; a secret helps against him, a mosaic does not."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval import gates
from dsanon_eval.attacks import parrot as attack
from dsanon_eval.attacks.parrot import ABOVE, LEAKED, NAME, parrot, split
from dsanon_eval.measurement import Measurement
from dsanon_eval.seeing.gathered import Gathered
from dsanon_eval.seeing.pictures import Means
from gathered_faces import gathered, picture

PEOPLE = [f"person {i // 8}" for i in range(160)]  # twenty with eight photos each
CIAGAN = Means("ciagan", generator="ciagan-face.safetensors", identities=100)
WHO = np.repeat(np.arange(20), 8)


def vectors(shown: np.ndarray, trace: np.ndarray, seed: int) -> np.ndarray:
    """Strong differences that say nothing of a person, and in ten directions a weak trace of them. (160, 32)."""
    random = np.random.default_rng(seed)
    x = np.concatenate([5 * random.normal(size=(160, 22)) + shown, 0.2 * random.normal(size=(160, 10)) + trace], axis=1)
    return np.asarray(x, dtype=np.float32)


@pytest.fixture
def seen() -> Gathered:
    """A painted release (a face for everybody by its key, nothing of the person) and a blur that leaves a trace."""
    random = np.random.default_rng(0)
    person, fake = random.normal(size=(20, 10)), 8 * random.normal(size=(20, 22))
    other = 8 * random.normal(size=(2, 160, 22))  # the attacker's own vectors: another for every photo
    none = np.zeros((160, 10))
    pictures = {
        "original": picture(vectors(none[:, :1], person[WHO], 1)),
        "release": picture(vectors(fake[WHO], none, 2)),
        "blur9": picture(vectors(none[:, :1], 0.5 * person[WHO], 3)),
        "blackout": picture(vectors(none[:, :1], none, 4)),
    }
    learnt = np.isin(np.arange(160), split([f"s{i:03d}" for i in range(160)], PEOPLE, [True] * 160)[0])
    derived = {f"repainted {k}": picture(vectors(other[k], none, 5 + k), learnt) for k in range(2)}
    return gathered(PEOPLE, pictures, derived)


@pytest.fixture
def figures(seen: Gathered) -> dict[tuple[str, str], Measurement]:
    """Of a painted release whose generator is here."""
    return measured(seen, CIAGAN)


def measured(seen: Gathered, means: Means) -> dict[tuple[str, str], Measurement]:
    """The one figure of each (name, control)."""
    found = parrot(seen, seen.vectors("x"), "x", means)
    assert len({(m.name, m.control) for m in found}) == len(found)
    return {(m.name, m.control): m for m in found}


def test_learning_finds_a_trace_that_distance_does_not(figures: dict) -> None:
    from dsanon_eval.attacks.reidentification import measure, ranks

    assert figures[NAME, "blur9"].value > 0.9
    assert figures[NAME, "original"].value > 0.9
    random = np.random.default_rng(0)
    blurred = vectors(np.zeros((160, 1)), 0.5 * random.normal(size=(20, 10))[WHO], 3)
    (plain, *_) = measure(ranks(blurred, blurred, PEOPLE, own=False), "x", "x", "blur9")
    assert plain.value < 0.3  # the unaware attacker, to whom all directions are alike


def test_controls_of_fewer_people_have_a_chance_of_their_own(seen: Gathered) -> None:
    for control in ("blur9", "blackout"):
        few = np.arange(160) < 80
        seen.pictures[control] = picture(seen.pictures[control].embeddings["x"], few)
    got = measured(seen, CIAGAN)
    assert got[NAME, "chance"].value == pytest.approx(1 / 20)
    assert got[NAME, "chance of the controls"].value == pytest.approx(1 / 10)


def test_what_lies_around_the_face_is_taken_from_what_is_named(seen: Gathered) -> None:
    """A trace that release and blackout share is not of the face: of the same photos, whichever there are as both."""
    random = np.random.default_rng(9)
    around, none = random.normal(size=(20, 10))[WHO], np.zeros((160, 1))
    some = np.arange(160) < 80
    looked = {kind: picture.looked for kind, picture in seen.derived.items()}
    seen.pictures["blackout"] = picture(vectors(none, around, 10), some)
    seen.pictures["release"] = picture(vectors(none, around, 11))
    for turn, kind in enumerate(seen.derived):
        seen.derived[kind] = picture(vectors(none, around, 12 + turn), looked[kind])
    got = measured(seen, CIAGAN)
    assert got[NAME, "release"].value > 0.9
    assert got[ABOVE, "release"].value == pytest.approx(0, abs=0.1)
    assert got[ABOVE, "release"].n == got[NAME, "blackout"].n == 40  # whom there is a blackout of
    assert got[NAME, "release"].n == 80
    seen.pictures["blackout"] = picture(vectors(none, 0 * around, 10), some)
    face = measured(seen, CIAGAN)[ABOVE, "release"]
    assert face.ci95 is not None
    assert face.value > 0.7
    assert 0.5 < face.ci95[0] < face.value < face.ci95[1]


def test_a_difference_is_of_photos_that_there_are_as_both(seen: Gathered) -> None:
    few = np.arange(160) < 80
    seen.pictures["blackout"] = picture(np.where(few[:, None], 0, 1) * seen.pictures["original"].embeddings["x"], few)
    seen.pictures["release"].embeddings["x"][few] = np.nan  # missing: as if named
    got = measured(seen, CIAGAN)[ABOVE, "release"]
    assert (got.value, got.n) == (1, 40)
    del seen.pictures["blackout"]
    assert (ABOVE, "release") not in measured(seen, CIAGAN)


def test_a_secret_key_helps_and_names_that_leak_do_not(figures: dict) -> None:
    assert figures[NAME, "chance"].value == pytest.approx(0.05)
    assert figures[NAME, "release"].value < 0.15  # his own run taught him nothing
    assert figures[LEAKED, "release"].value > 0.9  # one fake face for everybody: a pseudonym
    assert figures[NAME, "blackout"].value < 0.15
    assert {m.n for m in figures.values()} == {80}
    assert figures[ABOVE, "release"].value == figures[NAME, "release"].value - figures[NAME, "blackout"].value


def test_a_generator_without_identities_has_no_key_to_leak(seen: Gathered) -> None:
    found = measured(seen, Means("pix2pix", generator="pix2pix.safetensors"))
    assert (NAME, "release") in found
    assert (LEAKED, "release") not in found


def test_who_cannot_run_the_method_has_learnt_names_that_leaked(seen: Gathered) -> None:
    bare = Gathered(seen.faces, seen.files, seen.leaders, seen.pictures, seen.places)
    found = measured(bare, Means("ciagan"))
    assert not {(NAME, "release"), (ABOVE, "release")} & set(found)
    assert found[LEAKED, "release"].value > 0.9
    assert found[NAME, "blur9"].value > 0.9
    assert (NAME, "release") in measured(bare, Means("blur"))
    assert (LEAKED, "release") not in measured(bare, Means("blur"))


def test_a_required_gate_says_that_the_generator_is_missing(seen: Gathered) -> None:
    rule = gates.Rule(NAME, "x", "release", (), "max", 0.5, None, True)
    bare = Gathered(seen.faces, seen.files, seen.leaders, seen.pictures, seen.places)
    figures = parrot(bare, bare.vectors("x"), "x", Means("ciagan"))
    _, (line,) = gates.apply([rule], figures, lacking=attack.lacking(Means("ciagan")))
    assert "was not measured: the generator that painted the release is not here" in line
    assert attack.lacking(CIAGAN) == attack.lacking(Means("blur")) == {}


def test_no_photo_is_on_both_sides_and_few_photos_are_none() -> None:
    samples = ["a", "a", "b", "c", "d", "e", "f", "g"]
    people = ["x", "x", "x", "x", "x", "y", "y", "y"]
    known, asked = split(samples, people, [True] * 8)
    assert {people[i] for i in known + asked} == {"x"}  # y has three photos
    assert not {samples[i] for i in known} & {samples[i] for i in asked}
    assert sorted(known + asked) == [0, 1, 2, 3, 4]
    assert split(samples, people, [False] * 8) == ([], [])


def test_one_photo_under_two_names_voids_the_attack() -> None:
    from dsanon.errors import DsanonError

    everything = gathered(PEOPLE, {"original": picture(np.zeros((160, 2))), "release": picture(np.zeros((160, 2)))})
    everything.files[:] = ["one.jpg"] * 160
    with pytest.raises(DsanonError, match="both learnt from and asked about"):
        parrot(everything, everything.vectors("x"), "x", CIAGAN)


def test_a_face_without_a_vector_counts_as_named() -> None:
    random = np.random.default_rng(0)
    learnt, asked = random.normal(size=(40, 4)), random.normal(size=(10, 4))
    asked[:4] = np.nan
    who = [f"p{i // 4}" for i in range(40)]
    found = attack.attack(learnt, who, [str(i) for i in range(40)], asked, [f"p{i}" for i in range(10)])
    assert found.rank[:4].tolist() == [-1] * 4
    assert len(found.rank) == 10


def test_equal_vectors_name_nobody() -> None:
    who = [f"p{i // 4}" for i in range(40)]
    found = attack.attack(np.ones((40, 3)), who, [str(i) for i in range(40)], np.ones((10, 3)), sorted(set(who)))
    assert not (found.rank == 0).any()


def test_somebody_unknown_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="1 people are asked for of whom nothing was learnt"):
        attack.attack(np.eye(4), list("aabb"), list("1234"), np.ones((1, 4)), ["c"])
