"""Where a worker's calls run: inline, or on Ray actors that are replaced when they die."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

from dsanon.errors import DsanonError, UsageError
from dsanon.shards import Shard
from dsanon.worker import DIED, Setup, Worker

Call = tuple[str, Shard, tuple[Any, ...]]  # method of Worker, shard, further arguments
_IN_FLIGHT = 2  # calls an actor: one under way, one waiting, so that it never idles
_TRIES = 5


class Executor(Protocol):
    """Runs calls in any order and yields each one's counts."""

    def run(self, calls: Iterable[Call]) -> Iterator[dict[str, int]]:
        """Counts as they come. Raises what a worker raised."""

    def close(self) -> None:
        """Free workers and cluster."""


class Inline:
    """One worker in this process."""

    def __init__(self, setup: Setup) -> None:
        self._worker = Worker(setup)

    def run(self, calls: Iterable[Call]) -> Iterator[dict[str, int]]:
        """Counts in the order of ``calls``."""
        for method, shard, further in calls:
            yield getattr(self._worker, method)(shard, *further)

    def close(self) -> None:
        """Give the caller's process its arithmetic back: the worker had flushed denormal numbers to zero."""
        import torch

        torch.set_flush_denormal(False)


class OnRay:
    """``workers`` plain actors with their models loaded once; pixels never enter the object store."""

    def __init__(self, setup: Setup, workers: int, address: str | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import logging

        import ray

        self._ray = ray
        self._setup = setup
        self._started = not ray.is_initialized()
        if self._started:
            local: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UsageError(
                    f"no Ray at {address or 'this machine'} ({type(error).__name__}): "
                    "check --ray-address, or use --workers 0 to run without Ray"
                ) from error
        options: dict[str, Any] = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
        if setup.config.device.startswith("cuda"):
            options["num_gpus"] = 1
        self._actor = ray.remote(Worker).options(**options)
        self._actors = [self._actor.remote(setup) for _ in range(workers)]

    def run(self, calls: Iterable[Call]) -> Iterator[dict[str, int]]:
        """Counts as they come; a dead actor is replaced and its calls repeated."""
        queue = deque((call, 0) for call in calls)
        flying: dict[Any, tuple[int, Call, int]] = {}
        load = [0] * len(self._actors)
        culprits: dict[tuple[int, int], int] = {}
        while queue or flying:
            while queue and min(load) < _IN_FLIGHT:
                index = load.index(min(load))
                call, tries = queue.popleft()
                method, shard, further = call
                flying[getattr(self._actors[index], method).remote(shard, *further)] = (index, call, tries)
                load[index] += 1
            ready, _ = self._ray.wait(list(flying), num_returns=1)
            index, call, tries = flying.pop(ready[0])
            load[index] -= 1
            try:
                yield self._ray.get(ready[0])
            except self._ray.exceptions.RayActorError as error:
                lost = [(call, tries)] + [flying.pop(ref)[1:] for ref in list(flying) if flying[ref][0] == index]
                load[index] = 0
                self._actors[index] = self._actor.remote(self._setup)
                if tries + 1 >= _TRIES * len(call[1].samples):
                    raise DsanonError(
                        f"workers keep dying on shard {call[1].number}: {type(error).__name__}"
                    ) from error
                queue.extendleft(reversed([(self._blame(one, culprits), count + 1) for one, count in lost]))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None

    def _blame(self, call: Call, culprits: dict[tuple[int, int], int]) -> Call:
        """The call again; a sample at which a worker has died twice is marked, so that it is quarantined."""
        method, shard, further = call
        try:
            number = int(shard.at(self._setup.staging).read_text())
        except (OSError, ValueError):
            return call
        key = (shard.number, number)
        culprits[key] = culprits.get(key, 0) + 1
        if culprits[key] < 2:
            return call
        samples = list(shard.samples)
        samples[number] = replace(samples[number], problem=DIED)
        return method, Shard(shard.number, tuple(samples)), further

    def close(self) -> None:
        """Stop the actors, and Ray where this process started it."""
        for actor in self._actors:
            self._ray.kill(actor)
        if self._started:
            self._ray.shutdown()


def open_executor(setup: Setup, workers: int, address: str | None) -> Executor:
    """``workers`` 0: this process, without Ray."""
    return Inline(setup) if workers == 0 else OnRay(setup, workers, address)
