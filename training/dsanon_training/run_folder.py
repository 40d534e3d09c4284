"""The folder of a run: what was trained on what and where, every row of the log, the grids."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dsanon
from dsanon_training.batches import People
from dsanon_training.crops import Crops
from dsanon_training.engine import Engine
from dsanon_training.grids import save_grid
from dsanon_training.recipe import Recipe

_PACKAGES = ("torch", "numpy", "opencv-python", "ray", "safetensors")


class RunFolder:
    """run.json, log.jsonl, grids/ and TensorBoard's events in ``out``. Only the first process has one.

    start: the step to go on with; what a killed run logged beyond it will be done, and logged, again
    """

    def __init__(self, out: Path, start: int) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        path = out / "log.jsonl"
        rows = path.read_text().splitlines(True) if path.is_file() else []
        with path.open("w") as log:
            log.writelines(row for row in rows if _step(row) <= start)
        self._log = path.open("a")
        self._board: Any = None
        with suppress(ImportError):  # TensorBoard comes with the extra `train`
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=start)

    def describe(self, recipe: Recipe, engine: Engine, crops: Crops, people: People, start: int) -> None:
        """Write run.json: recipe, data, versions, revision, machine, and every start with its step."""
        path = self.out / "run.json"
        before = json.loads(path.read_text()) if path.is_file() else {}
        starts = before.get("starts", [])
        starts.append({"step": start, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **_machine(engine)})
        run = {"recipe": recipe.as_dict(), "data": _data(crops, people), "versions": _versions(), "starts": starts}
        path.write_text(json.dumps(run, indent=1))

    def row(self, step: int, values: dict[str, float]) -> None:
        """One row of the log, and the same as TensorBoard's scalars."""
        rounded = {name: float(f"{value:.5g}") for name, value in values.items()}
        self._log.write(json.dumps({"step": step} | rounded) + "\n")
        self._log.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def grid(self, step: int, pixels: np.ndarray) -> None:
        """A picture of unseen people."""
        save_grid(self.out / "grids" / f"step-{step:06d}.png", pixels)
        if self._board is not None:
            self._board.add_image("unseen", pixels, step, dataformats="HWC")

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()
        if self._board is not None:
            self._board.close()


def _step(row: str) -> float:
    """The step of a row of the log; one that a kill cut off counts as beyond all."""
    try:
        return float(json.loads(row)["step"])
    except ValueError:
        return float("inf")


def _data(crops: Crops, people: People) -> dict[str, Any]:
    index = hashlib.sha256((crops.folder / "index.json").read_bytes())
    index.update((crops.folder / "landmarks.npy").read_bytes())
    counts = {
        "bodies" if crops.bodies else "faces": len(people.training),
        "identities": len(people.identities),
        "unseen": len(people.unseen),
    }
    return {"crops": crops.folder.name, "sha256": index.hexdigest(), **counts}


def _versions() -> dict[str, str]:
    found = {"dsanon": dsanon.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {"revision": revision()}


def revision() -> str:
    """The git revision that the package runs from, with ``+changes`` where files differ from it; '' outside of git."""
    folder = Path(dsanon.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(("git", "-C", str(folder), *arguments), capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    with suppress(OSError, subprocess.SubprocessError):
        # an installed package below somebody's own repository is not of that repository
        if git("ls-files", "__init__.py"):
            return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    return ""


def _machine(engine: Engine) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(engine.device) if engine.device.type == "cuda" else ""
    named = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "machine": gpu or (named[0] if named else platform.processor() or platform.machine()),
        "device": str(engine.device),
        "precision": str(engine.dtype).removeprefix("torch."),
        "workers": engine.ranks,
        "threads": torch.get_num_threads(),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []
