"""Work by content: what the cache remembers is not done again, the rest is done by the crew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dsanon.progress import Progress
from dsanon_eval.crew import Crew
from dsanon_eval.seeing.cache import Cache

T = TypeVar("T")
Task = tuple[str, str, T]  # key of the result, what the user calls it, what to work on


def remembered(
    stage: str, tasks: Sequence[Task[T]], work: Callable[[T], bytes], crew: Crew, cache: Cache
) -> list[bytes]:
    """The result of ``work`` for each task, in order; equal keys are done once. Raises what ``crew`` raises."""
    found = {key: cache.get(key) for key, _, _ in tasks}
    todo = {key: (name, task) for key, name, task in tasks if found[key] is None}
    if todo:
        with Progress(stage, len(todo)) as progress:
            for key, result in zip(todo, crew.each(work, todo.values(), at_once=4), strict=True):
                cache.put(key, result)
                found[key] = result
                progress.add({"samples": 1, "faces": 1})
    return [value for key, _, _ in tasks if (value := found[key]) is not None]
