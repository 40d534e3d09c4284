"""SIGKILL of the processes that make a run: driver, actor, raylet."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path

import psutil
from faults.stage import Missed, Run, Scene, Stage, a_while, any_scene, begin, kill, one_line, settle

_OWN_CLUSTER = 0.2  # share of the kills of drivers that hit one with a cluster of its own, which is dear to start


def driver_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the process that runs the job, without Ray."""
    scene = any_scene(dice)
    release = stage.place(scene)
    run = begin(stage, scene, release)
    a_while(stage, scene, dice)
    kill(run)
    return settle(stage, scene, release)


def ray_driver_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the driver of a run on Ray; --resume does not wait until its workers are gone."""
    cluster = None if dice.random() < _OWN_CLUSTER else stage.cluster()
    scene, release, run = _on_ray(stage, dice, cluster, workers=dice.choice([1, 2]))
    family = [one for one in _family(run, cluster) if not cluster or _is(one, "actor")]
    kill(run)
    return settle(stage, scene, release) or _all_gone(family)


def actor_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of one of two actors: the run goes on by itself."""
    cluster = stage.cluster()
    scene, release, run = _on_ray(stage, dice, cluster)
    _kill_one(run, cluster, "actor", dice)
    code, text = run.end()
    if code != 0:
        return f"it ended with {code}: {text[-300:]}"
    return settle(stage, scene, release)


def raylet_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the raylet: the run ends well or says in one line that Ray failed."""
    scene, release, run = _on_ray(stage, dice, None)
    family = _family(run, None)
    _kill_one(run, None, "raylet", dice)
    code, text = run.end()
    if code and (problem := one_line(text, "Ray failed", "workers keep dying")):
        return problem
    return settle(stage, scene, release) or _all_gone(family)


def _on_ray(stage: Stage, dice: random.Random, cluster: str | None, workers: int = 2) -> tuple[Scene, Path, Run]:
    """A run on Ray at a random moment of its work. cluster: the address of one; None: it starts its own"""
    scene = any_scene(dice, workers)
    release = stage.place(scene)
    run = begin(stage, scene, release, *(["--ray-address", cluster] if cluster else []))
    staging, deadline = release.with_name("release.private") / "staging", time.monotonic() + 240
    while run.alive() and not list(staging.glob("*.at")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 1.5))
    return scene, release, run


def _family(run: Run, cluster: str | None) -> list[psutil.Process]:
    """The processes of Ray that work for a run: below this one, or below its own."""
    try:
        return psutil.Process(None if cluster else run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_one(run: Run, cluster: str | None, victim: str, dice: random.Random) -> None:
    found = [one for one in _family(run, cluster) if _is(one, victim)]
    if not found:
        run.end()
        raise Missed
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
