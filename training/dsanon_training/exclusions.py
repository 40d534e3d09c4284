"""Who may train what: a generator never LFW's evaluation people nor CelebA's validation and test partitions.

An auditor, who must not know a generator's people, learns from the people of pairs.txt and of CelebA's validation
partition. Whom it knows it never measures; CelebA's test partition nobody knows.
"""

from __future__ import annotations

from pathlib import Path

from dsanon.errors import RecipeError
from dsanon.sources.lfw import pairs_people

LEAST = 8  # people behind a vector that stands for a group


def lfw_evaluation_people(root: Path) -> frozenset[str]:
    """Names that ``pairs.txt`` mentions. Raises RecipeError where the file is missing: then nobody may train.

    Raises SourceError where it is no pairs file, with the line.
    """
    path = root / "pairs.txt"
    if not path.is_file():
        raise RecipeError(f"{path} is missing: without it nobody can tell which LFW people are for evaluation only")
    people = pairs_people(path)
    if len(people) < 2:
        raise RecipeError(f"{path} names {len(people)} people: it is not LFW's pairs.txt")
    return frozenset(people)


def celeba_partition(root: Path) -> dict[str, int]:
    """Image name → partition (0 train, 1 validation, 2 test) of ``list_eval_partition.txt``."""
    for path in (root / "list_eval_partition.txt", root / "Eval" / "list_eval_partition.txt"):
        if path.is_file():
            rows = (line.split() for line in path.read_text().splitlines() if line.strip())
            return {name: int(part) for name, part in rows}
    raise RecipeError(f"{root} has no list_eval_partition.txt: without it nobody can tell whom CelebA holds out")


def check_training_set(labels: list[str], lfw_held_out: frozenset[str], celeba_held_out: frozenset[str]) -> None:
    """Raise RecipeError if one of the training set's labels (``dataset/subject``) belongs to a held-out person."""
    held = {f"lfw/{name}" for name in lfw_held_out} | {f"celeba/{subject}" for subject in celeba_held_out}
    wrong = sorted(held.intersection(labels))
    if wrong:
        raise RecipeError(f"{len(wrong)} held-out people are in the training set: remove them, or the figures are void")


def check_auditor_set(labels: list[str], others: frozenset[str]) -> None:
    """Raise RecipeError if one of ``labels`` is of ``others``: who train generators, or are there to be measured."""
    if wrong := sorted(others.intersection(labels)):
        raise RecipeError(
            f"{len(wrong)} people of the auditor's training set train generators or are to be measured: remove them, "
            "or its figures are void"
        )


def check_groups(people: int, count: int) -> None:
    """Raise RecipeError where so many training ``people`` are fewer than LEAST for each of ``count`` vectors."""
    if people < LEAST * count:
        raise RecipeError(
            f"strangers = {count}: {people} people are fewer than {LEAST} for each, and fewer would show in a face; "
            f"choose at most {people // LEAST}, or give more data"
        )
