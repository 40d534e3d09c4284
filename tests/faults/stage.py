"""Where faults are played: tiny datasets, runs of ``dsanon anonymize`` in processes of their own, and the verdict."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from PIL import Image
from ray_head import ray_head

_HEAVY = ["dsanon.cli", "dsanon.job", "dsanon.regions", "dsanon.landmarks", "dsanon.models.store", "dsanon.link"]
_HEAVY += ["dsanon.detectors.hog", "dsanon.methods.ciagan", "dsanon.sources.video", "dsanon.sources.folder", "scipy"]
_HEAVY += ["faults.preload"]
_PATIENCE = 900  # seconds after which a run counts as hung


@dataclass(frozen=True)
class Scene:
    """What is anonymized, and how. workers: of the run that the fault hits"""

    dataset: str
    method: str
    workers: int = 0

    def options(self, release: Path, key: Path, workers: int | None = None) -> list[str]:
        count = self.workers if workers is None else workers
        options = ["--method", self.method, "--detectors", "hog:upsample=0", "--workers", count, "--key", key]
        return list(map(str, ["anonymize", "--dataset", self.dataset, release.with_name("source"), release, *options]))


def any_scene(dice: random.Random, workers: int = 0) -> Scene:
    """Pictures, mostly; of eight runs one paints."""
    return Scene(
        *dice.choice([*[("folder", "pixelate")] * 5, *[("video", "pixelate")] * 2, ("folder", "ciagan")]), workers
    )


def placed(stage: Stage, dice: random.Random, workers: int = 0) -> tuple[Scene, Path]:
    """Any scene, and RELEASE of a new run of it."""
    scene = any_scene(dice, workers)
    return scene, stage.place(scene)


@dataclass
class Run:
    """A ``dsanon`` command in a process of its own."""

    process: Any
    log: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def alive(self) -> bool:
        return bool(self.process.is_alive())

    def end(self) -> tuple[int, str]:
        """(exit code, what it wrote). Raises TimeoutError where it hangs."""
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(f"it hangs: {self.log.read_text()[-300:]}")
        return self.process.exitcode, self.log.read_text(errors="replace")


def start(arguments: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Run:
    """Run ``dsanon``; imports and models are loaded once, in a server that forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_HEAVY)
    process = context.Process(target=_command, args=(list(arguments), str(log), environment or {}))
    process.start()
    return Run(process, log)


def _command(arguments: list[str], log: str, environment: dict[str, str]) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ.update(environment)
    if environment:  # what is loaded before the program needs a new one
        os.execv(sys.executable, [sys.executable, "-c", "from dsanon.cli import main; main()", *arguments])
    from dsanon.cli import main

    sys.argv = ["dsanon", *arguments]
    main()


def begin(stage: Stage, scene: Scene, release: Path, *options: str, environment: dict[str, str] | None = None) -> Run:
    """Begin the run that the fault will hit."""
    arguments = [*scene.options(release, stage.undisturbed(scene).key), *options]
    return start(arguments, release.with_name("log"), environment)


def a_while(stage: Stage, scene: Scene, dice: random.Random) -> None:
    """Sleep up to a random moment of an undisturbed run."""
    time.sleep(dice.uniform(0, stage.undisturbed(scene).seconds))


def make_source(dataset: str, folder: Path) -> None:
    """Two shards of small pictures with three faces, or two clips of one."""
    folder.mkdir(parents=True)
    face = _face()
    if dataset == "video":
        for number in range(2):
            _clip(folder / f"{number}.mp4", np.roll(face, 24 * number, axis=1))
        return
    for number in range(38):
        wall = np.full((24, 32, 3), 5 * number, np.uint8)
        Image.fromarray(wall).save(folder / f"{number:02d}.png")
    for number in (3, 20, 35):
        Image.fromarray(np.roll(face, number, axis=1)).save(folder / f"{number:02d}.png")


@cache
def _face() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(np.asarray(data.astronaut())[20:244, 120:344])


def _clip(path: Path, picture: np.ndarray) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 2 * number, axis=1).copy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below ``folder``; what is being written (hidden) is not there yet."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


class Missed(Exception):
    """The run had ended, or had what it needed, before the fault came: it does not count."""


def kill(run: Run) -> None:
    """SIGKILL of the process that runs the job. Raises Missed where it had ended."""
    with suppress(ProcessLookupError):
        os.kill(run.pid, signal.SIGKILL)
    if run.end()[0] != -signal.SIGKILL:
        missed(run)


def missed(run: Run) -> NoReturn:
    """Raises Missed for a run that ended well before its fault, RuntimeError for one that ended ill."""
    code, text = run.end()
    if code:
        raise RuntimeError(f"before anything happened to it, it ended with {code}: {text[-300:]}")
    raise Missed


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happens to. seconds: it takes, from its first to its last write"""

    source: Path
    key: Path
    release: dict[str, str]
    seconds: float


class Stage:
    """Sources, undisturbed releases and a cluster, made once each; a fresh place for every fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._undisturbed: dict[Scene, Undisturbed] = {}
        self.places = 0
        self._cluster: Any = None
        self._opened = ExitStack()

    def undisturbed(self, scene: Scene) -> Undisturbed:
        """Of the scene; its workers play no part."""
        quiet = Scene(scene.dataset, scene.method)
        if quiet not in self._undisturbed:
            home = self.folder / f"{scene.dataset}-{scene.method}"
            make_source(scene.dataset, home / "source")
            release, key = home / "release", home / "release.private" / "key"
            run = start(quiet.options(release, key), home / "log")
            code, text = run.end()
            assert code == 0, text
            seconds = time.monotonic() - run.began
            self._undisturbed[quiet] = Undisturbed(home / "source", key, digests(release), seconds)
        return self._undisturbed[quiet]

    def cluster(self) -> str:
        """The address of a Ray cluster of two CPUs that all faults share which do not hit Ray itself."""
        if self._cluster is None:
            self._cluster = self._opened.enter_context(ray_head())
        return str(self._cluster.address)

    def close(self) -> None:
        """End the cluster."""
        self._opened.close()

    def place(self, scene: Scene, folder: Path | None = None) -> Path:
        """RELEASE of a new run, with its source beside it. folder: where, by default a new one"""
        self.places += 1
        home = folder or self.folder / f"run{self.places}"
        home.mkdir(exist_ok=True)
        shutil.copytree(self.undisturbed(scene).source, home / "source")
        return home / "release"


def settle(stage: Stage, scene: Scene, release: Path) -> str:
    """Resume after a fault; '' where nothing was lost and nothing wrong published, else what was."""
    before = stage.undisturbed(scene)
    if problem := unfinished(before, release):
        return problem
    code, text = start([*scene.options(release, before.key, workers=0), "--resume"], release.with_name("log")).end()
    if code == 2 and "is finished" in text:  # the fault came too late
        code = 0
    if code != 0:
        return f"--resume ended with {code}: {text[-300:]}"
    if digests(release) != before.release:
        return "the resumed release is not the undisturbed one"
    if release.with_name("release.partial").exists() or (release.with_name("release.private") / "staging").exists():
        return "something of the run is left behind"
    return ""


def unfinished(before: Undisturbed, release: Path) -> str:
    """What is wrong with what an unfinished run shows: only the whole release may bear its name; '' if nothing is.

    In RELEASE.partial every finished file is one of the undisturbed run's.
    """
    if release.exists() and digests(release) != before.release:
        return "RELEASE is there and is not whole"
    expected = set(before.release.items())
    data = release.with_name("release.partial") / "data"
    for file, digest in digests(data).items():
        if (f"data/{file}", digest) not in expected:
            return f"RELEASE.partial/data/{file} is not the undisturbed run's"
    return ""


def said(text: str) -> list[str]:
    """The lines of a command that are no progress."""
    other = ("find ", "link ", "render ", "copy ", "(raylet)", "\x1b[33m(raylet)", "\x1b[36m(raylet)")
    return [line for line in text.splitlines() if line.strip() and not line.startswith(other)]


def one_line(text: str, *words: str) -> str:
    """'' where a command said one line, with one of ``words`` in it; else what it said."""
    lines = said(text)
    if len(lines) == 1 and lines[0].startswith("dsanon: ") and any(word in lines[0] for word in words):
        return ""
    return f"it said {text[-400:]!r}"
