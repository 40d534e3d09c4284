"""Faults of what is around a run: disk, source, clock, another run."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
from faults.stage import Missed, Stage, a_while, any_scene, begin, digests, kill, one_line, placed, settle, start

from runs import small_disk


def disk_full(stage: Stage, dice: random.Random) -> str:
    """A file system that is full after a random number of pages; then there is room, and the run goes on."""
    scene = any_scene(dice)
    stage.undisturbed(scene)
    need = 120 if scene.dataset == "folder" else 60  # pages that a run writes, about
    with small_disk(stage.folder / f"disk{time.monotonic_ns()}", "8m") as disk:
        release = stage.place(scene, disk)
        used = sum(-(-path.stat().st_size // 4096) + 1 for path in disk.rglob("*")) + 4
        pages = used + dice.randrange(need)
        subprocess.run(["mount", "-o", f"remount,size={4096 * pages}", disk], check=True)
        log = stage.folder / "disk.log"
        code, text = start(scene.options(release, stage.undisturbed(scene).key), log).end()
        if code == 0:
            raise Missed
        if code != 2 or one_line(text, "the disk is full: free some space"):
            return f"it ended with {code}: {text[-300:]}"
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        return settle(stage, scene, release)


def source_disturbed(stage: Stage, dice: random.Random) -> str:
    """A source file that changes, vanishes or becomes a pipe in the middle: its sample alone is withheld."""
    scene, release = placed(stage, dice)
    run = begin(stage, scene, release)
    a_while(stage, scene, dice)
    before = stage.undisturbed(scene)
    victim = dice.choice(sorted(release.with_name("source").iterdir()))
    what = dice.choice(["changes", "vanishes", "pipe", "grows", "link"])
    if what == "changes":
        victim.write_bytes(dice.choice(sorted(before.source.iterdir())).read_bytes())
    elif what == "grows":
        with victim.open("ab") as file:
            file.write(b"more")
    else:
        victim.unlink()
        if what == "pipe":
            os.mkfifo(victim)
        elif what == "link":
            victim.symlink_to(before.source / victim.name)
    code, text = run.end()
    if code not in (0, 3):
        # gone before the job began to read: it says so, or reads another dataset
        return "" if code == 2 and not one_line(text, "") else f"it ended with {code}: {text[-300:]}"
    found = digests(release / "data")
    expected = {file: sha256 for file, sha256 in before.release.items() if file.startswith("data/")}
    odd = [file for file, sha256 in found.items() if expected.get(f"data/{file}") != sha256]
    quarantine = release.with_name("release.private") / "quarantine.parquet"
    withheld = {row["source_file"] for row in pq.read_table(quarantine).to_pylist()}
    if not withheld <= {victim.name}:
        return f"others were withheld: {withheld}"
    if len(odd) > 1 or (code == 3) != bool(withheld):
        return f"more than one file is another: {odd}, exit code {code}, withheld {withheld}"
    if odd and scene.dataset == "folder" and what != "changes":
        return f"a file that {what} was released as {odd}"
    return ""


def clock_jumps(stage: Stage, dice: random.Random) -> str:
    """A wall clock that jumps by years, fifty times a second; half of the runs are killed as well."""
    compiler = shutil.which("cc")
    if compiler is None:
        return "no C compiler here"
    library = stage.folder / "clock.so"
    if not library.exists():
        code = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, code], check=True)
    scene, release = placed(stage, dice)
    seconds = stage.undisturbed(scene).seconds
    run = begin(stage, scene, release, environment={"LD_PRELOAD": str(library)})
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0, 3 * seconds + 3))  # it imports everything anew
        kill(run)
    else:
        code, text = run.end()
        if code != 0:
            return f"it ended with {code}: {text[-300:]}"
    return settle(stage, scene, release)


def two_runs(stage: Stage, dice: random.Random) -> str:
    """Two runs into the same release, a random moment apart: one makes it, the other says one line."""
    scene, release = placed(stage, dice)
    before = stage.undisturbed(scene)
    first = begin(stage, scene, release)
    time.sleep(dice.choice([0, dice.uniform(0, 0.1), dice.uniform(0, before.seconds)]))
    options = dice.choice([[], ["--resume"]])
    second = start([*scene.options(release, before.key), *options], release.with_name("log2"))
    ends = [first.end(), second.end()]
    codes = [code for code, _ in ends]
    if sorted(codes) != [0, 2]:
        return f"they ended with {codes}: {[text[-200:] for _, text in ends]}"
    words = ("is in use by", "is finished", "renamed by another run", "is of an interrupted run")
    if problem := one_line(ends[codes.index(2)][1], *words):
        return problem
    return settle(stage, scene, release)
