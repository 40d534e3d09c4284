"""Where calls run: inline, or on Ray actors that are replaced when they die. The job's calls are its workers'."""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

from dsanon.errors import DsanonError, UsageError
from dsanon.nodes import Fact, check_nodes, missing
from dsanon.sample import Sample
from dsanon.worker import DIED, Setup, Worker

Call = tuple[str, Any, tuple[Any, ...]]  # method of the worker, what it works on (a Shard), further arguments
_DEATHS_OF_A_SAMPLE = 2  # after so many it is quarantined
_UNEXPLAINED = 5  # so many deaths in a row that no sample explains end the run
_LOOK = 10.0  # seconds between looks at the cluster: who waits for a place, is there room for more
_PATIENCE = 30.0  # seconds that a worker may take to start before it is spoken of
_SAY = 60.0  # seconds between two lines about workers that wait
_GIVE_UP = 600.0  # seconds without any worker at work after which the run ends
EVERYWHERE = 1 << 20  # workers: as many as the cluster has room for


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


class Start(Protocol):
    """What a worker is made from, as far as it matters to whoever makes it."""

    @property
    def needed(self) -> Sequence[Fact]:
        """What its node must see."""

    @property
    def gpu(self) -> bool:
        """Whether it takes a GPU."""

    def begin(self) -> None:
        """Done in its process before it is made."""


class Remote:
    """A worker in a process of its own. What it raises survives the way back: pickles, and is an ordinary exception."""

    def __init__(self, kind: type, setup: Start) -> None:
        self._kind, self._setup = kind, setup
        self._worker: Any = None

    def home(self) -> str:
        """The node that it has a place on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def call(self, method: str, *arguments: Any) -> Any:
        """The worker is made for its first call, so that what goes wrong then arrives as well."""
        try:
            if self._worker is None:
                if lack := missing(self._setup.needed):
                    raise UsageError(
                        f"a worker's node, {socket.gethostname()}, {lack}: mount it there, or take the node out"
                    )
                self._setup.begin()
                self._worker = self._kind(self._setup)
            return getattr(self._worker, method)(*arguments)
        except DsanonError:
            raise
        except MemoryError as error:
            raise MemoryError(str(error)) from None
        except OSError as error:
            if error.errno is None:
                raise DsanonError(f"a worker failed: {_line(error)}") from None
            raise OSError(error.errno, error.strerror, error.filename) from None
        except Exception as error:  # those that take two arguments come back unreadable
            raise DsanonError(f"a worker failed: {_line(error)}") from None


class Actors(ABC):
    """``workers`` plain actors of a ``kind``, made from its setup, with their models loaded once.

    There are never more actors than the cluster has room for. One gets a call when it has its place and nothing else to
    do, so no call waits for a place, or behind another while an actor idles. Nodes may go (their calls are repeated
    elsewhere) and come (they get actors).
    """

    again = "go on with --resume"  # what to do when a run has ended early

    def __init__(self, kind: type, setup: Start, workers: int, address: str | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._ray = ray
        self._kind, self._setup = kind, setup
        self._workers = workers
        self._deadly: tuple[type[Exception], ...] = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
        )
        self._actors: dict[int, Any] = {}
        self._arriving: dict[Any, int] = {}  # reference to its home() → an actor without a place so far
        self._homes: dict[int, str] = {}  # of those that have one: the node's id
        self._started = not ray.is_initialized()
        if self._started:
            _start(ray, workers, address)
        self._needs: dict[str, float] = {"CPU": 1}
        if setup.gpu:
            there = ray.cluster_resources()
            self._needs["GPU"] = share_of_gpu(there.get("GPU", 0), min(workers, int(there.get("CPU", 1))))
        room = self._room()
        if room < 1:
            self.close()
            raise UsageError(f"the Ray cluster has no {' or '.join(self._needs)} for a worker: check --ray-address")
        try:
            if address or len(ray.nodes()) > 1:
                check_nodes(ray, setup.needed)
        except UsageError:
            self.close()
            raise
        options = {"num_cpus": 1, "num_gpus": self._needs.get("GPU", 0), "max_restarts": 0, "max_task_retries": 0}
        self._class = ray.remote(Remote).options(**options)
        self._began = self._looked = self._said = self._worked = time.monotonic()
        for index in range(min(workers, room)):
            self._hire(index)

    def run(self, calls: Iterable[Call]) -> Iterator[Any]:
        """Answers as they come; a dead actor is replaced and its calls repeated. Takes from ``calls`` as it needs."""
        queue: deque[Call] = deque()
        rest = iter(calls)
        flying: dict[Any, tuple[int, Call]] = {}
        deaths: Counter[str] = Counter()  # by sample
        unexplained = 0
        while True:
            queue.extend(islice(rest, max(0, len(self._actors) - len(queue))))
            if not queue and not flying:
                return
            self._submit(queue, flying)
            ready, _ = self._ray.wait([*flying, *self._arriving], num_returns=1, timeout=_LOOK)
            self._look_around()
            if not ready:
                self._refuse_dead_cluster()
                continue
            ref = ready[0]
            index, call = (self._arriving.pop(ref), None) if ref in self._arriving else flying.pop(ref)
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._deadly as error:
                if getattr(error, "actor_init_failed", False):
                    raise UsageError(
                        f"a worker cannot start ({_line(error, last=True)}): "
                        "every node needs dsanon, and SOURCE, RELEASE and its private side under the same paths"
                    ) from None
                explained = False
                if call:
                    with_node = self._homes.get(index) not in self._alive()  # no sample is to blame for that
                    instead, explained = ([call], True) if with_node else self._without_culprit(call, deaths)
                    queue.extendleft(reversed(instead))
                unexplained = 0 if explained else unexplained + 1
                if unexplained == _UNEXPLAINED:
                    raise DsanonError(
                        f"workers keep dying and no sample explains it, the last one"
                        f"{f' of shard {call[1].number}' if call else ''}: {_line(error)}"
                    ) from None
                self._replace(index)
            except self._ray.exceptions.RayError as error:
                raise DsanonError(f"Ray failed, not a sample: {_line(error)}") from None
            else:
                if call is None:
                    self._homes[index] = answer
                else:
                    unexplained = 0
                    yield answer

    def _submit(self, queue: deque[Call], flying: dict[Any, tuple[int, Call]]) -> None:
        for index in self._homes.keys() - {index for index, _ in flying.values()}:
            if queue:
                method, shard, further = call = queue.popleft()
                flying[self._actors[index].call.remote(method, shard, *further)] = (index, call)

    def _hire(self, index: int) -> None:
        self._actors[index] = self._class.remote(self._kind, self._setup)
        self._arriving[self._actors[index].home.remote()] = index

    def _replace(self, index: int) -> None:
        """A new actor for a dead one, unless others are left and there is no room for it (a node went with it)."""
        self._ray.kill(self._actors.pop(index))  # it may be alive beyond a broken network
        self._homes.pop(index, None)
        self._arriving = {ref: other for ref, other in self._arriving.items() if other != index}
        if not self._actors or len(self._actors) < self._room():
            self._hire(index)

    def _look_around(self) -> None:
        """Now and then: take room that came, give up what went, tell who waits. Raises UsageError if nobody works."""
        now = time.monotonic()
        if self._homes:
            self._worked = now
        if not self._arriving:
            self._began = now
        if now - self._looked < _LOOK:
            return
        self._looked, room = now, self._room()
        for ref, index in reversed(list(self._arriving.items())):
            if len(self._actors) > max(room, 1):  # it was hired before the loss of a node was known
                del self._arriving[ref]
                self._ray.kill(self._actors.pop(index))
        for index in range(min(self._workers, room)):
            if len(self._actors) < min(self._workers, room) and index not in self._actors:
                self._hire(index)
        if not self._arriving or now - self._began < _PATIENCE:
            return
        waiting = (
            f"{len(self._arriving)} of {len(self._actors)} workers have not started: each needs "
            f"{' and '.join(f'{need:g} {name}' for name, need in self._needs.items())}, {self._free()}"
        )
        if now - self._worked > _GIVE_UP:
            raise UsageError(f"{waiting}; nobody worked for {_GIVE_UP:.0f} s: make room, then {self.again}")
        if now - self._said >= _SAY or self._said <= self._began:
            self._said = now
            print(
                f"wait    {waiting} (others hold them, or workers that start); make room, or add a node",
                file=sys.stderr,
                flush=True,
            )

    def _free(self) -> str:
        there, free = self._ray.cluster_resources(), self._ray.available_resources()
        parts = [f"{free.get(name, 0):g} of {there.get(name, 0):g} {name}s" for name in self._needs]
        return f"and {' and '.join(parts)} are free on {len(self._alive())} nodes"

    def _alive(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def _refuse_dead_cluster(self) -> None:
        """Actors that wait for a place on a cluster without nodes would wait for ever."""
        if not any(node["Alive"] for node in self._ray.nodes()):
            raise DsanonError(f"Ray failed, not a sample: its last node died (killed, or out of memory); {self.again}")

    def _room(self) -> int:
        resources = self._ray.cluster_resources()
        return int(min(resources.get(name, 0) / need for name, need in self._needs.items()))

    @abstractmethod
    def _without_culprit(self, call: Call, deaths: Counter[str]) -> tuple[list[Call], bool]:
        """What is called instead of ``call``, of which an actor died; and whether the death has a culprit."""

    def close(self) -> None:
        """Stop the actors, and Ray where this process started it."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        if self._started:
            self._ray.shutdown()


class OnRay(Actors):
    """The job's workers; pixels never enter the object store."""

    def __init__(self, setup: Setup, workers: int, address: str | None) -> None:
        super().__init__(Worker, setup, workers, address)
        self._staging = setup.staging

    def run(self, calls: Iterable[Call]) -> Iterator[dict[str, int]]:
        """Counts as they come; see :meth:`Actors.run`."""
        for path in self._staging.glob("*.at"):  # what an earlier run left does not tell what this one dies of
            path.unlink(missing_ok=True)
        yield from super().run(calls)

    def _without_culprit(self, call: Call, deaths: Counter[str]) -> tuple[list[Call], bool]:
        """One that was there twice is marked as ``DIED``."""
        method, shard, further = call
        try:
            number = int(shard.at(self._staging).read_text())
        except (OSError, ValueError):  # the call was waiting for its turn
            return [call], False
        if shard.samples[number].problem:  # it was not even read
            return [call], False
        deaths[shard.samples[number].id] += 1
        if deaths[shard.samples[number].id] < _DEATHS_OF_A_SAMPLE:
            return [call], True
        return [(method, replace(shard, samples=condemn(shard.samples, number)), further)], True


def condemn(samples: Sequence[Sample], number: int) -> tuple[Sample, ...]:
    """``samples``, of which ``number`` is quarantined unread.

    A video's frame cannot be reached but through those before it: where the one before is condemned as well, so are
    all that follow in the file.
    """
    file, before = samples[number].file, samples[number - 1] if number else None
    again = samples[number].frame is not None and before is not None and (before.file, before.problem) == (file, DIED)
    return tuple(
        replace(sample, problem=DIED) if i == number or (again and i > number and sample.file == file) else sample
        for i, sample in enumerate(samples)
    )


def share_of_gpu(gpus: float, workers: int) -> float:
    """Of one GPU, for each of ``workers``: their first pass needs cores, so that several share a GPU for the second.

    At least a sixteenth: a process holds half a gigabyte of it before it paints anything.
    """
    return max(1 / 16, min(1.0, math.floor(1e4 * gpus / workers) / 1e4))


def open_executor(setup: Setup, workers: int, address: str | None) -> Executor:
    """``workers`` 0: this process, without Ray."""
    return Inline(setup) if workers == 0 else OnRay(setup, workers, address)


def _start(ray: Any, workers: int, address: str | None) -> None:
    import logging

    if address:
        _refuse_unreachable(address)
    local: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:  # of a node that does not come up in time Ray raises just that
        raise _no_ray(address, error) from error
    if on_terminate is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)  # Ray has put its own in place


def _refuse_unreachable(address: str) -> None:
    """Ray itself tries for minutes to reach a port at which nobody listens."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise _no_ray(address, error) from None


def _no_ray(address: str | None, error: Exception) -> UsageError:
    return UsageError(
        f"no Ray at {address or 'this machine'} ({type(error).__name__}): "
        "check --ray-address, or use --workers 0 to run without Ray"
    )


def _line(error: BaseException, last: bool = False) -> str:
    """The first line of an error's text, or the last one, where a traceback ends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines and last else f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
