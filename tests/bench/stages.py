"""Where the time of a run goes, stage by stage, and the least that the same work can take on this machine."""

from __future__ import annotations

import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dsanon.config import JobConfig
from dsanon.job import anonymize
from dsanon.layout import ReleasePaths

# stage → the places in the code that are it; what lies in none of them is "other"
STAGES: dict[str, tuple[str, ...]] = {
    "start": ("dsanon.worker:_open_finder", "dsanon.methods.ciagan:Painter.__init__"),
    "decode": ("dsanon.sources.tree:read_photo",),
    "detect: hog": ("dsanon.detectors.hog:Hog.__call__",),
    "detect: centerface": ("dsanon.detectors.centerface:CenterFace.__call__",),
    "landmarks": ("dsanon.regions:fit",),
    "crop": ("dsanon.render:painted_shape", "dsanon.render:footprint", "dsanon.render:_crops"),
    "generator": ("dsanon.models.compiled:Compiled.__call__",),
    "paste": ("dsanon.render:_unwarp", "dsanon.render:_classical", "dsanon.render:_paste"),
    "encode": ("dsanon.sources.stills:encode",),
    "write": ("dsanon.sources.stills:write_aside", "dsanon.sources.stills:sync_files"),
    "manifest": (
        "dsanon.rows:Rows.settle",
        "dsanon.rows:Rows.finish",
        "dsanon.worker:write_table",
        "dsanon.worker:write_found",
    ),
}


class Stopwatch:
    """Seconds that each stage took itself, without the stages that it called."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._under_way: list[list[Any]] = []  # stage, when it was last on top

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose calls count for ``stage``."""

        def call(*args: Any, **kwargs: Any) -> Any:
            now = time.perf_counter()
            if self._under_way:
                self.seconds[self._under_way[-1][0]] += now - self._under_way[-1][1]
            self._under_way.append([stage, now])
            try:
                return function(*args, **kwargs)
            finally:
                now = time.perf_counter()
                self.seconds[stage] += now - self._under_way.pop()[1]
                if self._under_way:
                    self._under_way[-1][1] = now

        return call

    @contextmanager
    def watching(self) -> Iterator[None]:
        """All of ``STAGES``."""
        before = []
        try:
            for stage, places in STAGES.items():
                for place in places:
                    module, _, name = place.partition(":")
                    owner: Any = import_module(module)
                    *path, last = name.split(".")
                    for part in path:
                        owner = getattr(owner, part)
                    before.append((owner, last, getattr(owner, last)))
                    setattr(owner, last, self.timed(stage, getattr(owner, last)))
            yield
        finally:
            for owner, name, function in reversed(before):
                setattr(owner, name, function)


def stages(photos: Path, work: Path, method: str, repeats: int) -> dict[str, Any]:
    """Milliseconds a photo of each stage (median over ``repeats`` runs in this process, after one that warms up)."""
    runs = []
    for number in range(repeats + 1):
        config = JobConfig(dataset="folder", source=photos, method=method)
        paths, watch = ReleasePaths.of(photos, work / f"{method}-{number}"), Stopwatch()
        with watch.watching():
            outcome = anonymize(config, paths, workers=0, quiet=True)
        wall = sum(outcome.seconds[name] for name in ("find", "link", "plan", "render")) - watch.seconds.pop("start")
        runs.append({**watch.seconds, "other": wall - sum(watch.seconds.values()), "wall": wall})
    n = outcome.counts.samples
    faces = sum((outcome.counts.regions or {}).get("face", {}).values())
    rows = {stage: [1000 * run.get(stage, 0.0) / n for run in runs[1:]] for stage in (*STAGES, "other", "wall")}
    return {
        "photos": n,
        "faces": faces,
        "ms": {stage: spread(values) for stage, values in rows.items() if max(values) > 0},
        "floor_ms": floors(sorted(photos.iterdir()), method, faces / n),
    }


def floors(photos: Sequence[Path], method: str, faces: float) -> dict[str, float]:
    """Milliseconds a photo of the parts that cannot be left out, each alone, on one core. faces: in a photo."""
    from dsanon.detectors.centerface import CenterFace
    from dsanon.detectors.hog import Hog
    from dsanon.images import decode
    from dsanon.landmarks import Landmarker
    from dsanon.models import store
    from dsanon.models.weights import load_generator

    data = [photo.read_bytes() for photo in photos[:64]]
    pixels = [decode(one)[0] for one in data]
    centerface, hog, landmarker = CenterFace(), Hog(), Landmarker(store.path("landmarks68"))
    seen: list[tuple[list[str], dict[str, Any]]] = []
    run = centerface._session.run  # the network alone, without what surrounds it
    centerface._session = _Recording(run, seen)
    for picture in pixels:
        centerface(picture)
    whole = (0, 0, *reversed(pixels[0].shape[:2]))
    out = {
        "decode": _each(lambda one: np.asarray(Image.open(io.BytesIO(one)).convert("RGB")), data),
        "detect: hog": _each(hog, pixels),
        "detect: centerface": len(seen) / len(pixels) * _each(lambda call: run(*call), seen),  # it looks twice
        "landmarks": faces * _each(lambda picture: landmarker(picture, whole), pixels),
        "encode": _each(lambda picture: Image.fromarray(picture).save(io.BytesIO(), "JPEG", quality=95), pixels),
    }
    if method == "ciagan":
        generator = load_generator(store.path("ciagan-face"), torch.device("cpu"))
        out["generator"] = 1000 * faces * _operations(generator) / convolution_rate()
    return out


class _Recording:
    """A session that notes what it is asked."""

    def __init__(self, run: Callable[..., Any], calls: list[tuple[list[str], dict[str, Any]]]) -> None:
        self._run, self._calls = run, calls

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> Any:
        """As the session does."""
        self._calls.append((outputs, inputs))
        return self._run(outputs, inputs)


def _operations(generator: Any) -> float:
    """Floating-point operations of one face."""
    from torch.utils.flop_counter import FlopCounterMode

    n, s = generator.config.identities, 128
    planes = [torch.zeros(1, channels, s, s) for channels in (3, 3, 1, 1)]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        generator(*planes, torch.zeros(1, n))
    return float(counter.get_total_flops())


def convolution_rate() -> float:
    """Operations a second of the fastest of some convolutions, float32, one thread."""
    best = 0.0
    torch.set_num_threads(1)
    for channels, side in ((32, 128), (64, 64), (128, 32), (256, 16)):
        conv = torch.nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
        x = torch.randn(4, channels, side, side).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            seconds = min(_seconds(partial(conv, x)) for _ in range(6))
        best = max(best, 2 * 4 * 9 * channels * channels * side * side / seconds)
    return best


def _each(function: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Milliseconds a call: the faster of two rounds."""
    return 1000 * min(_seconds(lambda: [function(item) for item in items]) for _ in range(2)) / len(items)


def _seconds(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def spread(values: Sequence[float]) -> list[float]:
    """[least, median, largest]."""
    return [round(float(v), 4) for v in (min(values), np.median(values), max(values))]
