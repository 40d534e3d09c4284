"""Work by content: what the cache remembers is not done again, the rest is done by several processes, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from dsanon.errors import DsanonError
from dsanon.progress import Progress
from dsanon_eval.seeing.cache import Cache

T = TypeVar("T")
_KEEP = 50  # results between two commits: what a kill costs


def remembered(
    stage: str, tasks: Sequence[tuple[str, T]], work: Callable[[T], bytes], workers: int, cache: Cache
) -> list[bytes]:
    """The result of ``work`` for each (key, task), in order; equal keys are done once.

    work: a function of a module, for other processes · workers: processes; 0 works in this one.
    Raises what ``work`` raises, and DsanonError where a process dies.
    """
    found = {key: cache.get(key) for key, _ in tasks}
    todo = {key: task for key, task in tasks if found[key] is None}
    if todo:
        try:
            with Progress(stage, len(todo)) as progress:
                for done, (key, result) in enumerate(zip(todo, _results(todo.values(), work, workers), strict=True), 1):
                    cache.put(key, result)
                    found[key] = result
                    progress.add({"samples": 1, "faces": 1})
                    if done % _KEEP == 0:
                        cache.commit()
        except BrokenProcessPool as error:
            raise DsanonError("a worker process died (out of memory?): try fewer --workers") from error
        finally:
            cache.commit()
    return [value for key, _ in tasks if (value := found[key]) is not None]


def _results(tasks: Iterable[T], work: Callable[[T], bytes], workers: int) -> Iterator[bytes]:
    if not workers:
        yield from map(work, tasks)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), one_thread)
    try:
        yield from pool.map(work, tasks, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def one_thread() -> None:
    """What a process of several does first: they are the parallelism, and denormal numbers are slow."""
    import cv2
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    cv2.setNumThreads(1)
