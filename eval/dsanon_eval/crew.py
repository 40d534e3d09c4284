"""Who looks: this process, or Ray actors as the job's, which are replaced when they die. What kills two is named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from dsanon.errors import UsageError
from dsanon.executor import Actors, Call
from dsanon.job import default_workers
from dsanon.models import store
from dsanon.nodes import Fact

T = TypeVar("T")
R = TypeVar("R")


class Crew:
    """Works on things in any number of processes, with the same results. A context manager; Ray starts at first use.

    workers: actors; 0 works in this process · address: of a Ray cluster · needed: what its nodes must see
    """

    def __init__(self, workers: int = 0, address: str | None = None, needed: Sequence[Fact] = ()) -> None:
        self._workers, self._address, self._start = workers, address, _Start(tuple(needed), store.folder())
        self._actors: _Helpers | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._actors:
            self._actors.close()
            self._actors = None

    @property
    def threads(self) -> int:
        """For what cannot be shared: as many as there are workers, and cores here."""
        return min(max(1, self._workers), default_workers())

    def each(self, work: Callable[[T], R], things: Iterable[tuple[str, T]], at_once: int = 1) -> Iterator[R]:
        """``work(thing)`` of each (name, thing), in order; names are what the user calls them.

        work: goes to each worker once, and stays there with what it opens · at_once: things that travel together
        Raises what ``work`` raises; UsageError naming a thing that two workers died of.
        """
        if not self._workers:
            with arithmetic(1):
                for _, thing in things:
                    yield work(thing)
            return
        import ray

        self._actors = self._actors or _Helpers(Helper, self._start, self._workers, self._address)
        reference = _Reference(ray.put(work))
        calls: Iterator[Call] = (("work", piece, (reference,)) for piece in _pieces(things, at_once))
        waiting: dict[int, R] = {}
        turn = 0
        for first, results in self._actors.run(calls):
            waiting |= dict(enumerate(results, first))
            while turn in waiting:
                yield waiting.pop(turn)
                turn += 1


@contextmanager
def arithmetic(threads: int) -> Iterator[None]:
    """So many threads for torch and OpenCV; denormal numbers, which are slow, are zero."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    flushed = not torch.tensor(1e-39).mul(1)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        torch.set_flush_denormal(flushed)


@dataclass(frozen=True, slots=True)
class _Start:
    needed: tuple[Fact, ...]
    models: Path
    gpu: bool = False

    def begin(self) -> None:
        os.environ["DSANON_MODELS"] = str(self.models)
        arithmetic(1).__enter__()  # workers are the parallelism


@dataclass(frozen=True, slots=True)
class Piece:
    """Things that travel together. first: the place of the first one among all"""

    first: int
    names: tuple[str, ...]
    things: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Reference:
    """To what lies in Ray's store: in a field, so that it is not fetched for every call."""

    to: Any


class Helper:
    """What an actor runs. It keeps the work at hand, with the models that it opened."""

    def __init__(self, _: _Start) -> None:
        self._reference: _Reference | None = None
        self._work: Callable[[Any], Any] | None = None

    def work(self, piece: Piece, reference: _Reference) -> tuple[int, list[Any]]:
        """The place of the first thing, and the results."""
        if self._work is None or self._reference != reference:
            import ray

            self._work, self._reference = ray.get(reference.to), reference
        return piece.first, [self._work(thing) for thing in piece.things]


class _Helpers(Actors):
    again = "run it again: what was seen is not looked at twice"

    def _without_culprit(self, call: Call, deaths: Counter[str]) -> tuple[list[Call], bool]:
        """Of several things each is tried alone; nothing may be passed over, so one that kills twice ends it."""
        method, piece, further = call
        if len(piece.things) > 1:
            alone = _pieces(zip(piece.names, piece.things, strict=True), 1, piece.first)
            return [(method, one, further) for one in alone], True
        name = piece.names[0]
        deaths[name] += 1
        if deaths[name] > 1:
            raise UsageError(
                f"{name}: two workers died while they looked at it, and nothing may be passed over: "
                "replace the file if it is damaged, use fewer --workers if memory is short"
            )
        return [call], True


def _pieces(things: Iterable[tuple[str, Any]], at_once: int, first: int = 0) -> Iterator[Piece]:
    rest = iter(things)
    while some := list(islice(rest, at_once)):
        names, values = zip(*some, strict=True)
        yield Piece(first, names, values)
        first += len(some)
