"""Is anybody who is measured among those whom the generator was trained on? Then the figures flatter it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dsanon.errors import UsageError
from dsanon.models.weights import read_card


def identities_of(weights: Path, people: Iterable[str]) -> dict[str, int]:
    """Those of ``people`` (``dataset/label``) who are identities of the generator's control vector, and which.

    Raises WeightsError for a file that is no generator.
    """
    numbers = {hashed: number for number, hashed in enumerate(read_card(weights).identities)}
    hashes = {person: hashlib.sha256(person.encode()).hexdigest()[:16] for person in people}
    return {person: numbers[hashed] for person, hashed in hashes.items() if hashed in numbers}


def trained_on(weights: Path, people: Iterable[str]) -> set[str]:
    """Those of ``people`` who are identities of the generator. Raises WeightsError likewise."""
    return set(identities_of(weights, people))


def refuse_overlap(measured: Iterable[str], trained: Iterable[str]) -> None:
    """Raise UsageError if anybody of ``measured`` is among those who may train."""
    if both := set(measured) & set(trained):
        raise UsageError(
            f"{len(both)} people are both in the training set and to be measured: a person of CelebA's "
            "list_eval_partition.txt must be in one partition only, or the figures are void"
        )


def refuse_trained_on(weights: Path, people: Iterable[str]) -> None:
    """Raise UsageError if anybody of ``people`` is: figures of a generator are of people it never saw."""
    if found := trained_on(weights, people):
        raise UsageError(
            f"{len(found)} of the people to measure are identities that {weights.name} was trained on: "
            "name a generator trained without them, or the figures are void"
        )
