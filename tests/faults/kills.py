"""SIGKILL of the processes that make a run: driver, actor, raylet."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path

import psutil
from faults.stage import Run, Scene, Stage, a_while, begin, kill, missed, one_line, placed, settle

_OWN_CLUSTER = 0.2  # share of the kills of drivers that hit one with a cluster of its own, which is dear to start


def driver_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the process that runs the job, without Ray."""
    scene, release = placed(stage, dice)
    run = begin(stage, scene, release)
    a_while(stage, scene, dice)
    kill(run)
    return settle(stage, scene, release)


def ray_driver_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the driver of a run on Ray; --resume does not wait until its workers are gone."""
    cluster = None if dice.random() < _OWN_CLUSTER else stage.cluster()
    scene, release, run = _on_ray(stage, dice, cluster, workers=dice.choice([1, 2]))
    family = _actors() if cluster else _family(run)
    kill(run)
    return settle(stage, scene, release) or _all_gone(family)


def actor_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of one of two actors: the run goes on by itself."""
    cluster = stage.cluster()
    scene, release, run = _on_ray(stage, dice, cluster)
    _kill_one(run, _actors(), dice)
    code, text = run.end()
    if code != 0:
        return f"it ended with {code}: {text[-300:]}"
    return settle(stage, scene, release)


def raylet_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the raylet: the run ends well or says in one line that Ray failed."""
    scene, release, run = _on_ray(stage, dice, None)
    family = _family(run)
    _kill_one(run, [one for one in family if _is(one, "raylet")], dice)
    code, text = run.end()
    if code and (problem := one_line(text, "Ray failed", "workers keep dying")):
        return problem
    return settle(stage, scene, release) or _all_gone(family)


def _on_ray(stage: Stage, dice: random.Random, cluster: str | None, workers: int = 2) -> tuple[Scene, Path, Run]:
    """A run on Ray at a random moment of its work. cluster: the address of one; None: it starts its own"""
    psutil.wait_procs(_actors() if cluster else [], timeout=60)  # of the run before, which may be dying still
    scene, release = placed(stage, dice, workers)
    run = begin(stage, scene, release, *(["--ray-address", cluster] if cluster else []))
    staging, deadline = release.with_name("release.private") / "staging", time.monotonic() + 240
    while run.alive() and not list(staging.glob("*.at")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 1.5))
    return scene, release, run


def _family(run: Run) -> list[psutil.Process]:
    """The processes of Ray below a run that has its own."""
    try:
        return psutil.Process(run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _actors() -> list[psutil.Process]:
    """Of the cluster that all share, below this process."""
    return [one for one in psutil.Process().children(recursive=True) if _is(one, "actor")]


def _kill_one(run: Run, found: list[psutil.Process], dice: random.Random) -> None:
    """Raises Missed where none is left."""
    if not found:
        missed(run)
    with suppress(psutil.NoSuchProcess):
        dice.choice(found).kill()


def _is(process: psutil.Process, victim: str) -> bool:
    try:
        words = process.cmdline()
        return process.name() == "raylet" if victim == "raylet" else bool(words) and words[0].startswith("ray::Remote")
    except psutil.NoSuchProcess:
        return False


def _all_gone(family: list[psutil.Process]) -> str:
    _, left = psutil.wait_procs(family, timeout=60)
    for process in left:
        process.kill()  # of this run
    return f"left running after a minute: {[process.name() for process in left]}" if left else ""
