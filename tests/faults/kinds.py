"""The kinds of faults. Each plays one, at a random moment, and returns what went wrong ('' if nothing did)."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from faults.stage import Run, Scene, Stage, digests, one_line, said, settle, start, unfinished

from runs import small_disk

Fault = Callable[[Stage, random.Random], str]


def _scene(dice: random.Random, workers: int = 0) -> Scene:
    """Pictures, mostly; of eight runs one paints."""
    return Scene(
        *dice.choice([*[("folder", "pixelate")] * 5, *[("video", "pixelate")] * 2, ("folder", "ciagan")]), workers
    )


def _begin(stage: Stage, scene: Scene, release: Path, *options: str, environment: dict[str, str] | None = None) -> Run:
    arguments = [*scene.options(release, stage.undisturbed(scene).key), *options]
    return start(arguments, release.with_name("log"), environment)


def _sleep(stage: Stage, scene: Scene, dice: random.Random) -> None:
    time.sleep(dice.uniform(0, stage.undisturbed(scene).seconds))


def driver_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the process that runs the job, without Ray."""
    scene = _scene(dice)
    release = stage.place(scene)
    run = _begin(stage, scene, release)
    _sleep(stage, scene, dice)
    with suppress(ProcessLookupError):
        os.kill(run.pid, signal.SIGKILL)
    run.end()
    return settle(stage, scene, release)


def _on_ray(stage: Stage, dice: random.Random, victim: str) -> tuple[Scene, Path, Run, list[psutil.Process]]:
    """A run on Ray of which ``victim`` is killed at a random moment of its work; all of its processes."""
    scene = _scene(dice, workers=2)
    release = stage.place(scene)
    stage.undisturbed(scene)
    run = _begin(stage, scene, release)
    driver = psutil.Process(run.pid)
    staging, deadline = release.with_name("release.private") / "staging", time.monotonic() + 120
    while run.alive() and not list(staging.glob("*.at")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 1.5))
    family = driver.children(recursive=True) if run.alive() else []
    with suppress(psutil.NoSuchProcess):
        if victim == "driver":
            driver.kill()
        else:
            found = [one for one in family if _is(one, victim)]
            if found:
                dice.choice(found).kill()
    return scene, release, run, family


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


def ray_driver_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the driver of a run on Ray; --resume does not wait until its workers are gone."""
    scene, release, run, family = _on_ray(stage, dice, "driver")
    run.end()
    return settle(stage, scene, release) or _all_gone(family)


def actor_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of one of two actors: the run goes on by itself."""
    scene, release, run, family = _on_ray(stage, dice, "actor")
    code, text = run.end()
    if code != 0:
        return f"it ended with {code}: {text[-300:]}"
    return settle(stage, scene, release) or _all_gone(family)


def raylet_killed(stage: Stage, dice: random.Random) -> str:
    """SIGKILL of the raylet: the run ends well or says in one line that Ray failed."""
    scene, release, run, family = _on_ray(stage, dice, "raylet")
    code, text = run.end()
    if code and (problem := one_line(text, "Ray failed", "workers keep dying")):
        return problem
    return settle(stage, scene, release) or _all_gone(family)


def disk_full(stage: Stage, dice: random.Random) -> str:
    """A file system that is full after a random number of pages; then there is room, and the run goes on."""
    scene = _scene(dice)
    stage.undisturbed(scene)
    need = 120 if scene.dataset == "folder" else 60  # pages that a run writes, about
    with small_disk(stage.folder / f"disk{time.monotonic_ns()}", "8m") as disk:
        release = stage.place(scene, disk)
        used = sum(-(-path.stat().st_size // 4096) + 1 for path in disk.rglob("*")) + 4
        pages = used + dice.randrange(need)
        subprocess.run(["mount", "-o", f"remount,size={4096 * pages}", disk], check=True)
        log = stage.folder / "disk.log"
        code, text = start(scene.options(release, stage.undisturbed(scene).key), log).end()
        if code not in (0, 2):
            return f"it ended with {code}: {text[-300:]}"
        if code == 2 and (problem := one_line(text, "the disk is full: free some space")):
            return problem
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        return settle(stage, scene, release)


def source_disturbed(stage: Stage, dice: random.Random) -> str:
    """A source file that changes, vanishes or becomes a pipe in the middle: its sample alone is withheld."""
    scene = _scene(dice)
    release = stage.place(scene)
    before = stage.undisturbed(scene)
    run = _begin(stage, scene, release)
    _sleep(stage, scene, dice)
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
    withheld = {row["source_file"] for row in pq.read_table(quarantine).to_pylist()} if quarantine.exists() else set()
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
    scene = _scene(dice)
    release = stage.place(scene)
    seconds = stage.undisturbed(scene).seconds
    run = _begin(stage, scene, release, environment={"LD_PRELOAD": str(library)})
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0, 3 * seconds + 3))  # it imports everything anew
        with suppress(ProcessLookupError):
            os.kill(run.pid, signal.SIGKILL)
        run.end()
    else:
        code, text = run.end()
        if code != 0:
            return f"it ended with {code}: {text[-300:]}"
    return settle(stage, scene, release)


def two_runs(stage: Stage, dice: random.Random) -> str:
    """Two runs into the same release, a random moment apart: one makes it, the other says one line."""
    scene = _scene(dice)
    release = stage.place(scene)
    before = stage.undisturbed(scene)
    first = _begin(stage, scene, release)
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


def shard_corrupted(stage: Stage, dice: random.Random) -> str:
    """A staged file, or one of the unfinished release, of which bytes are changed, cut off or lost."""
    scene = _scene(dice)
    release = stage.place(scene)
    before = stage.undisturbed(scene)
    for _ in range(5):
        run = _begin(stage, scene, release)
        time.sleep(dice.uniform(0.3, 1.0) * before.seconds)
        with suppress(ProcessLookupError):
            os.kill(run.pid, signal.SIGKILL)
        run.end()
        staging = release.with_name("release.private") / "staging"
        files = [path for path in staging.rglob("*") if path.is_file() and path.name != "job.json"]
        files += [p for p in release.with_name("release.partial").rglob("*") if p.is_file() and p.parent.name == "data"]
        if files and not release.exists():
            break
        for name in ("release", "release.partial", "release.private"):
            shutil.rmtree(release.with_name(name), ignore_errors=True)
    else:
        return "no run was cut off in time"
    victim = dice.choice(sorted(files))
    _damage(victim, dice)
    code, text = start([*scene.options(release, before.key), "--resume"], release.with_name("log")).end()
    if code != 0:
        return f"{victim.name}: --resume ended with {code}: {text[-300:]}"
    return "" if digests(release) == before.release else f"{victim.name}: not the undisturbed release"


def _damage(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    what = dice.choice(["flip", "cut", "empty", "zeros"]) if data else "grow"
    if what == "flip":
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif what == "cut":
        del data[dice.randrange(len(data)) :]
    elif what == "empty":
        data.clear()
    elif what == "zeros":
        start = dice.randrange(len(data))
        data[start : start + 64] = bytes(len(data[start : start + 64]))
    else:
        data += b"x"
    path.write_bytes(data)


def tampered(stage: Stage, dice: random.Random) -> str:
    """A bit of the weights, manifest, key, map or release.json is changed: refused in one line, nothing published."""
    what = dice.choice(["weights", "key", "job.json", "manifest.parquet", "release.json", "identity_map.parquet"])
    scene = Scene("folder", "ciagan" if what == "weights" else "pixelate")
    release = stage.place(scene)
    before = stage.undisturbed(scene)
    key = release.with_name("key")
    shutil.copyfile(before.key, key)
    key.chmod(0o600)
    log = release.with_name("log")
    if what == "weights":
        return _tampered_weights(scene, release, key, dice)
    run = start(scene.options(release, key), log)
    if what in ("key", "job.json"):  # of an interrupted run
        staging = release.with_name("release.private") / "staging"
        while run.alive() and not list(staging.glob("*.sha256")):
            time.sleep(0.005)
        with suppress(ProcessLookupError):
            os.kill(run.pid, signal.SIGKILL)
        run.end()
        if release.exists():
            return ""
        victim = key if what == "key" else staging / "job.json"
        _damage_another(victim, dice)
        code, text = start([*scene.options(release, key), "--resume"], log).end()
        problem = one_line(text, "cannot be resumed", "is no key", "cannot be read") if code == 2 else text[-300:]
        return problem or unfinished(before, release) or ("RELEASE is there" if release.exists() else "")
    run.end()
    private = release.with_name("release.private")
    victim = (private if what.startswith("identity") else release) / what
    untouched = {
        path: path.read_bytes() for folder in (release, private) for path in folder.rglob("*") if path.is_file()
    }
    review = release.with_name("review.json")
    import hashlib
    import json

    rows = pq.read_table(release / "manifest.parquet").to_pylist()
    row = next(row for row in rows if row["region"] is not None)
    decisions = [{"sample": row["sample"], "region": row["region"], "verdict": "mask"}]
    _damage_another(victim, dice)
    digest = hashlib.sha256((release / "manifest.parquet").read_bytes()).hexdigest()
    review.write_text(json.dumps({"schema": 1, "manifest_sha256": digest, "decisions": decisions}))
    arguments = [*scene.options(release, key), "--resume", "--review", str(review)]
    code, text = start(arguments, log).end()
    if code == 0:  # a bit that means nothing, as in a version of release.json: it was made anew
        return "" if what == "release.json" else f"{what} was believed"
    if code != 2 or (problem := one_line(text, "")):
        return f"{what}: it ended with {code}: {text[-400:]}"
    changed = [p.name for p, data in untouched.items() if p != victim and (not p.exists() or p.read_bytes() != data)]
    return f"{what}: these were changed: {changed}" if changed else ""


def _damage_another(path: Path, dice: random.Random) -> None:
    """Damage that is seen: another content."""
    before = path.read_bytes()
    while path.read_bytes() == before:
        _damage(path, dice)


def _tampered_weights(scene: Scene, release: Path, key: Path, dice: random.Random) -> str:
    """The user's own generator, altered before the run or in its middle."""
    from dsanon.models import store

    home = release.with_name("models")
    with _environment("DSANON_MODELS", str(home)):
        weights = store.add("ciagan-face", store.SHIPPED / "ciagan-face.safetensors")
    early = dice.random() < 0.5
    if early:
        _damage_another(weights, dice)
    run = start(scene.options(release, key), release.with_name("log"), {"DSANON_MODELS": str(home)})
    staging = release.with_name("release.private") / "staging"
    while not early and run.alive() and not list(staging.glob("*.found.parquet")):
        time.sleep(0.005)
    if not early:
        _damage_another(weights, dice)
    code, text = run.end()
    if not early and code == 0:
        return ""  # they were loaded already
    if code != 2:
        return f"it ended with {code}: {text[-300:]}"
    problem = one_line(text, "is not the file that was registered", "altered during the run")
    return problem or ("RELEASE is there" if release.exists() else "")


class _environment:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value

    def __enter__(self) -> None:
        os.environ[self.name] = self.value

    def __exit__(self, *_: object) -> None:
        del os.environ[self.name]


KINDS: dict[str, Fault] = {
    "driver killed": driver_killed,
    "driver killed, on Ray": ray_driver_killed,
    "actor killed": actor_killed,
    "raylet killed": raylet_killed,
    "disk full": disk_full,
    "source disturbed": source_disturbed,
    "clock jumps": clock_jumps,
    "two runs": two_runs,
    "staged file damaged": shard_corrupted,
    "tampered": tampered,
}
__all__ = ["KINDS", "said"]
