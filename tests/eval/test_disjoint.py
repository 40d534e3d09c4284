"""Nobody whom a generator knows may speak for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from dsanon_eval.attacks import disjoint

from dsanon.errors import UsageError


class Card:
    identities = (hashlib.sha256(b"celeba/7201").hexdigest()[:16],)


def test_people_of_the_control_vector_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disjoint, "read_card", lambda _: Card())
    assert disjoint.trained_on(Path("g"), ["celeba/7201", "celeba/7450", "lfw/7201"]) == {"celeba/7201"}
    disjoint.refuse_trained_on(Path("g"), ["celeba/7450"])
    with pytest.raises(UsageError, match="1 of the people to measure"):
        disjoint.refuse_trained_on(Path("g"), ["celeba/7201", "celeba/7450"])
