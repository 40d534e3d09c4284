"""Is anybody who is measured among those whom the generator was trained on? Then the figures flatter it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dsanon.errors import UsageError
from dsanon.models.weights import read_card


def trained_on(weights: Path, people: Iterable[str]) -> set[str]:
    """Those of ``people`` (``dataset/label``) who are identities of the generator's control vector.

    Raises WeightsError for a file that is no generator.
    """
    known = set(read_card(weights).identities)
    return {person for person in people if hashlib.sha256(person.encode()).hexdigest()[:16] in known}


def refuse_trained_on(weights: Path, people: Iterable[str]) -> None:
    """Raise UsageError if anybody of ``people`` is: figures of a generator are of people it never saw."""
    if found := trained_on(weights, people):
        raise UsageError(
            f"{len(found)} of the people to measure are identities that {weights.name} was trained on: "
            "name a generator trained without them, or the figures are void"
        )
