"""A crew gives the same results whoever works, loses nothing with a worker, and names what kills two."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from dsanon_eval.crew import Crew

from dsanon.errors import ReleaseError, UsageError

THINGS = [(f"data/{number}.jpg", number) for number in range(7)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def two(cluster: Any, models: Path) -> Iterator[Crew]:
    """Two workers on a cluster that somebody else has started, with another environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSANON_MODELS", str(models))
        crew = Crew(2)
    with crew:
        yield crew


class Counting:
    """Knows how many things it has seen, and in which process."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, thing: int) -> tuple[int, int]:
        self.seen += 1
        return os.getpid(), self.seen


def squared(thing: int) -> int:
    """Later ones are done sooner."""
    time.sleep(0.05 * (7 - thing))
    return thing**2


def test_results_are_the_same_and_in_order_whoever_works(two: Crew) -> None:
    for crew in (Crew(0), two):
        for at_once in (1, 3):
            assert list(crew.each(squared, THINGS, at_once)) == [number**2 for number in range(7)]
            assert list(crew.each(squared, [], at_once)) == []


def test_a_worker_keeps_its_work_and_what_that_opened(two: Crew) -> None:
    done: dict[int, list[int]] = {}
    for process, seen in two.each(Counting(), THINGS):
        done.setdefault(process, []).append(seen)
    assert os.getpid() not in done
    assert sorted(chain(*done.values())) == sorted(seen for each in done.values() for seen in range(1, len(each) + 1))
    assert max(map(len, done.values())) > 1
    assert next(two.each(Counting(), THINGS))[1] == 1  # other work


def test_things_are_taken_when_they_are_needed(two: Crew) -> None:
    taken = []

    def things() -> Iterator[tuple[str, int]]:
        for name, number in THINGS * 100:
            taken.append(name)
            yield name, number

    next(two.each(Counting(), things()))
    assert len(taken) < 700


def test_workers_find_the_same_models(two: Crew, models: Path) -> None:
    assert set(two.each(lambda _: os.environ.get("DSANON_MODELS"), THINGS)) == {str(models)}


def test_an_error_arrives_and_the_crew_works_on(two: Crew) -> None:
    def refusing(thing: int) -> int:
        if thing == 2:
            raise ReleaseError("data/2.jpg was altered: make the release anew")
        return thing

    for crew in (Crew(0), two):
        with pytest.raises(ReleaseError, match=r"data/2\.jpg was altered"):
            list(crew.each(refusing, THINGS))
        assert list(crew.each(squared, THINGS[5:])) == [25, 36]


def test_what_a_dead_worker_had_is_done_again(two: Crew, tmp_path: Path) -> None:
    marker = tmp_path / "died"

    def mortal(thing: int) -> int:
        if thing == 4 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return thing**2

    assert list(two.each(mortal, THINGS)) == [number**2 for number in range(7)]
    assert marker.exists()


def test_what_kills_two_workers_is_named_and_not_its_neighbours(two: Crew) -> None:
    """The last test of this crew."""

    def poisoned(thing: int) -> int:
        if thing == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return thing**2

    with pytest.raises(UsageError, match=r"^data/4\.jpg: two workers died") as said:
        list(two.each(poisoned, THINGS, at_once=3))
    assert said.value.exit_code == 2
    assert "\n" not in str(said.value)


def test_arithmetic_is_one_thread_for_all_and_given_back() -> None:
    torch.set_flush_denormal(False)  # as a process begins: another test may have changed it
    tiny, before = torch.tensor(1e-39), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(Crew().each(lambda _: (torch.get_num_threads(), float(tiny * 1)), THINGS[:1])) == [(1, 0.0)]
        assert torch.get_num_threads() == 2
        assert float(tiny * 1) > 0
    finally:
        torch.set_num_threads(before)
