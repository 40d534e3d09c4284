"""Nobody whom a generator knows may speak for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from dsanon_eval.attacks import disjoint

from dsanon.errors import UsageError


def hashed(person: str) -> str:
    return hashlib.sha256(person.encode()).hexdigest()[:16]


class Card:
    identities = (hashed("celeba/7201"),)
    people = (hashed("lfw/seen"),)  # of whose photos it learned, though no vector names them


def test_people_of_the_control_vector_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disjoint, "read_card", lambda _: Card())
    assert disjoint.trained_on(Path("g"), ["celeba/7201", "celeba/7450", "lfw/7201", "lfw/seen"]) == {
        "celeba/7201",
        "lfw/seen",
    }
    assert disjoint.identities_of(Path("g"), ["celeba/7201", "lfw/seen"]) == {"celeba/7201": 0}
    disjoint.refuse_trained_on(Path("g"), ["celeba/7450"])
    with pytest.raises(UsageError, match="1 of the people to measure"):
        disjoint.refuse_trained_on(Path("g"), ["celeba/7201", "celeba/7450"])


def test_a_folder_may_hold_people_of_lfw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under another dataset's name a generator knows them all the same; a number is nobody's name."""
    monkeypatch.setattr(disjoint, "read_card", lambda _: Card())
    assert disjoint.namesakes(Path("g"), "folder", ["seen", "7201", "new"]) == {"seen"}
    assert disjoint.namesakes(Path("g"), "celeba", ["7201", "7450"]) == {"7201"}
    assert disjoint.namesakes(Path("g"), "lfw", ["7201"]) == set()
