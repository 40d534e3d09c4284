"""What a worker must see, wherever it runs: the same SOURCE, the same staging folder, the same weights.

A node whose storage is not mounted would find every sample missing and so withhold it. So each node is asked at the
start, and each worker looks again before its first call, on nodes that join later as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsanon.errors import StorageError, UsageError
from dsanon.storage import Bucket

_ANSWER = 60.0  # seconds that a node has to answer


@dataclass(frozen=True, slots=True)
class Fact:
    """what: as the user calls it · path: where it lies · seen: what the driver sees there (:func:`look`)."""

    what: str
    path: Path | Bucket
    seen: str


def look(path: Path | Bucket) -> str:
    """What is at ``path``: a folder, or a file's size and time in whole seconds; '' where nothing can be seen."""
    try:
        if isinstance(path, Bucket):
            return path.look()
        if path.is_dir():
            return "folder"
        found = path.stat()
    except (OSError, ValueError, StorageError):
        return ""
    return f"{found.st_size} {int(found.st_mtime)}"


def facts(needed: Sequence[tuple[str, Path | Bucket]]) -> tuple[Fact, ...]:
    """What this process sees of what workers need; what is missing here proves nothing and is left out."""
    return tuple(Fact(what, path, seen) for what, path in needed if (seen := look(path)))


def missing(needed: Sequence[Fact]) -> str:
    """The first of the facts that this process does not see, as the end of a sentence; '' where it sees all."""
    for fact in needed:
        found = look(fact.path)
        if found != fact.seen:
            return (
                f"does not see {fact.what} {fact.path} ({'something else is there' if found else 'nothing is there'})"
            )
    return ""


def check_nodes(ray: Any, needed: Sequence[Fact]) -> None:
    """Ask every node that has CPUs. Raises UsageError with the nodes that lack something, in one line."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    ask, asked = ray.remote(missing), []
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked.append((node, ask.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(needed)))
    problems = [f"node {node['NodeManagerAddress']} ({node['NodeID'][:8]}) {lack}" for node, ref in asked
                if (lack := _answer(ray, ref))]  # fmt: skip
    if problems:
        more = f" and {len(problems) - 3} more nodes" if len(problems) > 3 else ""
        raise UsageError(
            f"{'; '.join(problems[:3])}{more}: every node needs dsanon, and the same storage under the same paths"
        )


def _answer(ray: Any, ref: Any) -> str:
    try:
        return str(ray.get(ref, timeout=_ANSWER))
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"cannot run dsanon ({type(error).__name__}: {lines[-1][:150] if lines else ''})"
