"""Is anybody who is measured among those whom a network was trained on? Then its figures are void.

A generator's flatter it; an auditor's condemn whomever it knows, and one that knows the generator's people takes a
painted face for one of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dsanon.errors import UsageError
from dsanon.models.weights import read_card
from dsanon_eval.networks import pnca
from dsanon_eval.networks.recognisers import AUDITORS, RECOGNISERS
from dsanon_eval.seeing.case import Case
from dsanon_eval.seeing.observation import usable

_NAMED = ("lfw", "celeba")  # whose labels people go by where they train


def namesakes(weights: Path, dataset: str, labels: Iterable[str]) -> set[str]:
    """Those ``labels`` of ``dataset`` that the generator was trained on: there, or under LFW's or CelebA's name, for a
    folder may hold these. A number alone tells of its own dataset only. Raises WeightsError for no generator.
    """
    named = {f"{dataset}/{label}": label for label in labels}
    named |= {f"{other}/{label}": label for label in named.values() if not label.isdecimal() for other in _NAMED}
    return {named[name] for name in trained_on(weights, named)}


def told_apart(case: Case, generator: Path | None) -> tuple[Case, list[str], list[str]]:
    """The case with the people ``known`` to its generator, a note on them, and why it fails where nobody else is left.

    generator: the file of what painted it, if it is here. Raises WeightsError for one that is none.
    """
    _, people, labelled = case.people()
    named = {person for person, sure in zip(people, labelled, strict=True) if sure}
    known = frozenset(namesakes(generator, case.dataset, named) if generator else ())
    if not (generator and known):
        return case, [], []
    who = f"{len(known)} people of the release are among those {generator.stem} was trained on"
    case = replace(case, known=known)
    if known >= set(people):
        return case, [], [f"{who}, and nobody else is left to measure: use a generator trained without them"]
    return case, [f"{who}: they are not measured"], []


def identities_of(weights: Path, people: Iterable[str]) -> dict[str, int]:
    """Those of ``people`` (``dataset/label``) who are identities of the generator's control vector, and which.

    Raises WeightsError for a file that is no generator.
    """
    numbers = {hashed: number for number, hashed in enumerate(read_card(weights).identities)}
    return {person: numbers[hashed] for person in people if (hashed := _hashed(person)) in numbers}


def trained_on(weights: Path, people: Iterable[str]) -> set[str]:
    """Those of ``people`` whose photos the generator was trained on. Raises WeightsError likewise."""
    card = read_card(weights)
    seen = {*card.identities, *card.people}
    return {person for person in people if _hashed(person) in seen}


def _hashed(person: str) -> str:
    return hashlib.sha256(person.encode()).hexdigest()[:16]


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
            f"{len(found)} of the people to measure are people that {weights.name} was trained on: "
            "name a generator trained without them, or the figures are void"
        )


def attackers(labels: Iterable[str], generators: Iterable[Path]) -> tuple[list[str], list[str]]:
    """The recognisers that may be asked for people of these source labels, and a note on each other one.

    generators: files of those that painted. An auditor of ``dsanon train`` is left out where it learned from any of the
    people, under whatever dataset's name, or from an identity of a generator.
    Raises WeightsError.
    """
    here, notes = usable((*RECOGNISERS, *AUDITORS))
    if pnca.NAME in here:
        learned = pnca.learned()
        named = {f"{dataset}/{label}": label for label in labels for dataset in _NAMED}
        known = {label for name, label in named.items() if _hashed(name) in learned}
        cards = [read_card(file) for file in generators]
        shared = learned.intersection(hashed for card in cards for hashed in (*card.identities, *card.people))
        if known or shared:
            here.remove(pnca.NAME)
            whom = f"{len(known)} of the people measured" if known else f"{len(shared)} of the generator's people"
            notes.append(f"{pnca.NAME} did not measure: it learned from {whom}")
    return here, notes
