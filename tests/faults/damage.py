"""Faults of what a run left, or builds on: damaged staging, and files that were tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pyarrow.parquet as pq
from faults.stage import Missed, Scene, Stage, begin, digests, one_line, placed, start, unfinished

from dsanon.models import store


def staged_file_damaged(stage: Stage, dice: random.Random) -> str:
    """A staged file, or one of the unfinished release, of which bytes are changed, cut off or lost."""
    scene, release = placed(stage, dice)
    before = stage.undisturbed(scene)
    for _ in range(5):
        run = begin(stage, scene, release)
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
            raise Missed
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
    home = release.with_name("models")
    with mock.patch.dict(os.environ, DSANON_MODELS=str(home)):
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
        raise Missed  # they were loaded already
    if code != 2:
        return f"it ended with {code}: {text[-300:]}"
    problem = one_line(text, "is not the file that was registered", "altered during the run")
    return problem or ("RELEASE is there" if release.exists() else "")
