"""Fake identities: who becomes whom, decided once, before any pixel is painted.

The generator's identities give an endless list of control vectors in *tiers*, the plainest first: one-hots, halves of
two identities, then two identities in ever finer unequal parts. Subjects choose one after the other, in a keyed order
(serial dictatorship), each walking through a tier in a keyed order of their own until a vector is free. Nothing but
key, scope and subjects enters, and a subject who is added later moves only those who come after and collide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd, isqrt
from pathlib import Path

from dsanon.errors import UsageError
from dsanon.naming import Names
from dsanon.sample import Kind, Sample

SCOPES = ("dataset", "camera", "sequence", "image")
TIERS = 1 << 20  # the parts of the last tier are still multiples of 2^-22: exact in float32
Own = Mapping[str, int | frozenset[int]]
Slot = tuple[int, int]  # a tier, and the vector's number in it


@dataclass(frozen=True, slots=True)
class Control:
    """A control vector. ids: the identities in it, none twice · weights: their parts, exact in float32, sum 1."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


Who = tuple[Kind, str, str]  # kind, scope, subject: faces and bodies have fake identities of different generators
Controls = Mapping[Who, Control]


@dataclass(slots=True)
class _Taken:
    """Vectors that are given away, in one scope or to one subject, and how many of each tier."""

    slots: set[Slot] = field(default_factory=set)
    filled: Counter[int] = field(default_factory=Counter)

    def add(self, slot: Slot) -> None:
        self.slots.add(slot)
        self.filled[slot[0]] += 1


def assign(
    names: Names, scope: str, subjects: Collection[str], identities: int, own: Own | None = None
) -> dict[str, Control]:
    """Fake identities of one scope: :func:`assign_all` for it alone."""
    assigned = assign_all(names, {scope: subjects}, identities, own)
    return {subject: control for (_, subject), control in assigned.items()}


def assign_all(
    names: Names, scopes: Mapping[str, Collection[str]], identities: int, own: Own | None = None
) -> dict[tuple[str, str], Control]:
    """A control vector for every (scope, subject); in no particular order.

    identities: of the generator, numbered from 0 · own: subject → their own number(s) among these, never in their
    vector.
    No two subjects of a scope share a vector, no subject has one in two scopes, and a mix is given only when no one-hot
    is left for the subject. Raises UsageError where that is impossible.
    """
    members = {scope: set(subjects) for scope, subjects in scopes.items()}
    barred = {subject: _own(own or {}, subject, identities) for subjects in members.values() for subject in subjects}
    scopes_of = Counter(subject for subjects in members.values() for subject in subjects)
    elsewhere = {subject: _Taken() for subject, count in scopes_of.items() if count > 1}
    assigned = {}
    for scope in names.order(members, "scopes"):
        taken = _Taken()
        turns = names.order(members[scope], "turns", scope)
        # Who may have one identity only has no second choice. They choose first, so that nobody fails who need not.
        for subject in sorted(turns, key=lambda subject: identities - len(barred[subject]) > 1):
            mine = elsewhere.get(subject, _Taken())
            slot = _choose(names, (scope, subject), identities, barred[subject], taken, mine)
            taken.add(slot)
            mine.add(slot)
            assigned[scope, subject] = _control(slot, identities)
    return assigned


def _own(own: Own, subject: str, identities: int) -> frozenset[int]:
    numbers = own.get(subject, frozenset())
    return frozenset({numbers} if isinstance(numbers, int) else numbers) & frozenset(range(identities))


def _choose(
    names: Names, who: tuple[str, str], identities: int, barred: frozenset[int], taken: _Taken, mine: _Taken
) -> Slot:
    """The first vector, on the subject's own walk, that nobody in the scope has and the subject has nowhere else."""
    left = identities - len(barred)
    for tier in range(TIERS if left > 1 else 1):
        size = _size(tier, identities)
        if taken.filled[tier] == size or mine.filled[tier] == _size(tier, left):
            continue
        for number in _walk(names, who, tier, size):
            slot = (tier, number)
            if slot not in taken.slots and slot not in mine.slots and barred.isdisjoint(_control(slot, identities).ids):
                return slot
    raise UsageError(
        f"no fake identity is left for a subject of scope {who[0]!r}: the generator has {identities} identities, "
        f"{len(barred)} of them the subject's own; take a generator with more"
    )


def _walk(names: Names, who: tuple[str, str], tier: int, size: int) -> Iterator[int]:
    """All numbers below ``size``, each once, from a keyed start in keyed strides."""
    digest = names.digest("walk", *who, str(tier))
    start = int.from_bytes(digest[:16], "big") % size
    stride = 1 + int.from_bytes(digest[16:], "big") % size
    while gcd(stride, size) > 1:
        stride += 1
    for steps in range(size):
        yield (start + steps * stride) % size


def _size(tier: int, identities: int) -> int:
    """How many vectors a tier has: one-hots, unordered pairs (halves), then ordered pairs."""
    if tier == 0:
        return identities
    return identities * (identities - 1) // (2 if tier == 1 else 1)


@lru_cache(maxsize=1 << 16)
def _control(slot: Slot, identities: int) -> Control:
    tier, number = slot
    if tier == 0:
        return Control((number,), (1.0,))
    if tier == 1:
        second = (1 + isqrt(1 + 8 * number)) // 2
        return Control((number - second * (second - 1) // 2, second), (0.5, 0.5))
    first, second = divmod(number, identities - 1)
    part = _part(tier)
    return Control((first, second + (second >= first)), (part, 1.0 - part))


def _part(tier: int) -> float:
    """The smaller part of an unequal tier (2, 3, …): 1/4, 3/8, 1/8, 7/16, 5/16, 3/16, 1/16, 15/32, …"""
    level = (tier - 1).bit_length() - 1
    odd = (2 << level) - 1 - 2 * (tier - 1 - (1 << level))
    return odd / (4 << level)


def scope_of(mode: str, sample: Sample, cameras: Mapping[str, str]) -> str:
    """Name of the scope that ``sample`` lies in, for a ``--scope`` mode.

    cameras: sequence → camera; a sequence that is not in it is its own camera, a still without sequence its own scope.
    Source names stay in it: it is for the private side (publish :func:`scope_label`). Raises UsageError.
    """
    if mode not in SCOPES:
        raise UsageError(f"--scope {mode!r} is unknown: choose one of {', '.join(SCOPES)}")
    if mode == "dataset":
        return "dataset"
    if mode == "image" or sample.sequence is None:
        return sample.id
    return cameras.get(sample.sequence, sample.sequence) if mode == "camera" else sample.sequence


def scope_label(names: Names, scope: str) -> str:
    """What the manifest may say of a scope: ``dataset``, or a pseudonym of the sequence, camera or image."""
    return scope if scope == "dataset" else names.token("scope", scope, prefix="s")


def read_cameras(path: Path) -> dict[str, str]:
    """``--cameras FILE``: a sequence and its camera on each line, separated by a tab, a comma or blanks.

    Empty lines, ``#`` comments and a header ``sequence camera`` are skipped. Raises UsageError with the line's number.
    """
    cameras: dict[str, str] = {}
    for number, line in _lines(path, "--cameras"):
        separator = "\t" if "\t" in line else "," if "," in line else None
        columns = [column.strip() for column in line.split(separator)]
        if len(columns) != 2 or not all(columns):
            raise UsageError(f"{path} line {number}: {line!r} has {len(columns)} columns: expected sequence and camera")
        sequence, camera = columns
        if not cameras and (sequence.lower(), camera.lower()) == ("sequence", "camera"):
            continue
        if cameras.setdefault(sequence, camera) != camera:
            raise UsageError(
                f"{path} line {number}: sequence {sequence!r} is of camera {camera!r} here and of "
                f"{cameras[sequence]!r} above: keep one of the two lines"
            )
    return cameras


def read_kept(path: Path) -> frozenset[str]:
    """``--keep FILE``: a subject's label on each line; empty lines and lines that begin with ``#`` are skipped."""
    return frozenset(line for _, line in _lines(path, "--keep"))


def _lines(path: Path, option: str) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{option} {path} cannot be read ({reason}): expected a text file") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()
