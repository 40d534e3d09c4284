"""The kinds of faults. Each plays one, at a random moment, and returns what went wrong ('' if nothing did)."""

from __future__ import annotations

import random
import shutil
import traceback
from collections.abc import Callable

from faults import damage, kills, surroundings
from faults.stage import Missed, Stage

Fault = Callable[[Stage, random.Random], str]
KINDS: dict[str, Fault] = {
    "driver killed": kills.driver_killed,
    "driver killed, on Ray": kills.ray_driver_killed,
    "actor killed": kills.actor_killed,
    "raylet killed": kills.raylet_killed,
    "disk full": surroundings.disk_full,
    "source disturbed": surroundings.source_disturbed,
    "clock jumps": surroundings.clock_jumps,
    "two runs": surroundings.two_runs,
    "staged file damaged": damage.staged_file_damaged,
    "tampered": damage.tampered,
}


def play(stage: Stage, kind: str, seed: int, number: int) -> str:
    """Play one, again where it came too late. What went wrong; where nothing did, the run's files are deleted."""
    first = stage.places + 1
    for attempt in range(20):
        try:
            problem = KINDS[kind](stage, random.Random(f"{kind} {seed} {number} {attempt}"))
        except Missed:
            continue
        except Exception:
            problem = traceback.format_exc()
        if not problem:
            for place in range(first, stage.places + 1):
                shutil.rmtree(stage.folder / f"run{place}", ignore_errors=True)
        return problem
    return "it came too late, twenty times"
