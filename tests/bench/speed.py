"""Speed: ``python tests/bench/speed.py --data DATA --out FILE.json``: stages, others on the same photos, growth,
video.

Everything is measured in one run, so that ratios hold although machines differ. Rates leave start-up out: a run of
few photos is subtracted from one of many. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from stages import spread, stages
from video import crowds, lengths

PARTS = ("stages", "peers", "growth", "video")
FEW = 64  # photos of the run that is subtracted: two shards
MEGAPIXELS = (0.1, 0.5, 2, 8, 24)
CROWDS = (0, 1, 5, 10, 25, 50)
# the program, which tells its peak memory last (getrusage would count the memory of whoever started it)
_MAIN = """
import atexit, sys
from dsanon.cli import main

@atexit.register
def tell():
    lines = open("/proc/self/status").read().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)

main()
"""


def photos_of(data: Path, n: int) -> list[Path]:
    """``n`` photos of LFW, one of each person."""
    folders = sorted(folder for folder in next((data / "lfw").glob("lfw*")).iterdir() if folder.is_dir())
    return [sorted(folder.iterdir())[0] for folder in folders[:n]]


def laid(photos: Sequence[Path], folder: Path) -> Path:
    """A flat folder of ``photos``."""
    folder.mkdir(parents=True)
    for number, photo in enumerate(photos):
        shutil.copyfile(photo, folder / f"{number:06d}{photo.suffix}")
    return folder


def dsanon(source: Path, work: Path, *options: str, workers: int = 2) -> dict[str, Any]:
    """What ``dsanon anonymize --json`` tells, and ``busy``: seconds without scanning and starting.

    And ``mib``: the driver's peak memory, who is the worker as well where there are no ``workers``.
    """
    release = Path(tempfile.mkdtemp(dir=work)) / "release"
    command = [sys.executable, "-c", _MAIN, "anonymize", "--dataset", "folder"]
    command += [str(source), str(release), "--json", "--workers", str(workers), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=_single_threaded())
    told: dict[str, Any] = json.loads(done.stdout)
    told["mib"] = int(done.stderr.splitlines()[-1]) / 1024
    told["busy"] = sum(told["seconds"][stage] for stage in ("find", "link", "plan", "render", "publish"))
    return told


def _single_threaded() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def rate(few: Path, many: Path, n: int, busy: Callable[[Path], float]) -> float:
    """Photos a second of ``n`` photos more, in ``many`` than in ``few``."""
    return n / (busy(many) - busy(few))


def deface(folder: Path, out: Path) -> float:
    """Seconds of deface 1.5 (blur) over a folder, its network loaded, with the threads that it takes by itself."""
    from deface.deface import CenterFace, image_detect

    out.mkdir(exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        network = CenterFace()
    began = time.perf_counter()
    for photo in sorted(folder.iterdir()):
        image_detect(str(photo), str(out / photo.name), network, 0.2, "blur", 1.3, True, False, False, False)
    return time.perf_counter() - began


def one_at_a_time(folder: Path, out: Path) -> float:
    """Seconds of the pipeline of the paper's code: HOG upsampled once, 68 landmarks, its generator, photo by photo."""
    import torch

    from dsanon.align import face_transform, warp
    from dsanon.detectors.hog import Hog
    from dsanon.landmarks import Landmarker, draw
    from dsanon.models import store
    from dsanon.models.encoder_decoder import Reference
    from dsanon.models.generator import GeneratorConfig

    torch.set_num_threads(os.cpu_count() or 1)
    generator = Reference(GeneratorConfig(1200, architecture="reference")).eval()
    detector, landmarker = Hog(upsample=1), Landmarker(store.path("landmarks68"))
    out.mkdir(exist_ok=True)
    began = time.perf_counter()
    for photo in sorted(folder.iterdir()):
        pixels = np.asarray(Image.open(photo).convert("RGB"))
        for face in detector(pixels)[:1]:
            points = landmarker(pixels, face.box)
            transform = face_transform(points)
            crop = torch.from_numpy(warp(pixels, transform)).permute(2, 0, 1)[None].float() / 127.5 - 1
            lines = torch.from_numpy(draw(points)).permute(2, 0, 1)[None].float() / 255
            hidden, padding, control = torch.zeros(1, 1, 128, 128), torch.zeros(1, 1, 128, 128), torch.zeros(1, 1200)
            with torch.inference_mode():
                generator(lines, crop, hidden, padding, control)
        Image.fromarray(pixels).save(out / photo.name, quality=95)
    return time.perf_counter() - began


def peers(data: Path, work: Path, photos: int, repeats: int) -> dict[str, Any]:
    """dsanon and the others in turn on the same photos: photos a second, and ratios run by run."""
    chosen = photos_of(data, FEW + photos)
    few, many = laid(chosen[:FEW], work / "few"), laid(chosen, work / "many")
    longest = max(max(Image.open(photo).size) for photo in chosen)
    as_deface = ("--method", "blur", "--detectors", f"centerface:size={longest}")
    runs: dict[str, Callable[[Path], float]] = {
        "deface 1.5, blur": lambda folder: deface(folder, work / "deface"),
        "dsanon, blur, at deface's input size": lambda folder: dsanon(folder, work, *as_deface)["busy"],
        "dsanon, blur, at its own scale": lambda folder: dsanon(
            folder, work, "--method", "blur", "--detectors", "centerface"
        )["busy"],
        "dsanon, blur, all its detectors": lambda folder: dsanon(folder, work, "--method", "blur")["busy"],
        "one at a time, as the paper's code": lambda folder: one_at_a_time(folder, work / "single"),
        "dsanon, ciagan, by the same detector": lambda folder: dsanon(
            folder, work, "--method", "ciagan", "--detectors", "hog:upsample=1"
        )["busy"],
        "dsanon, ciagan": lambda folder: dsanon(folder, work, "--method", "ciagan")["busy"],
        "dsanon, ciagan, one worker": lambda folder: dsanon(folder, work, "--method", "ciagan", workers=1)["busy"],
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, busy in runs.items():
            rates[name].append(rate(few, many, photos, busy))
    wanted = (
        ("dsanon, blur, at deface's input size", "deface 1.5, blur", 1.1),
        ("dsanon, blur, at its own scale", "deface 1.5, blur", 2.0),
        ("dsanon, ciagan, by the same detector", "one at a time, as the paper's code", 2.5),
        ("dsanon, ciagan", "one at a time, as the paper's code", 2.5),
        ("dsanon, ciagan", "dsanon, ciagan, one worker", 1.8),
    )
    ratios = [
        {"of": a, "to": b, "ratio": spread([x / y for x, y in zip(rates[a], rates[b], strict=True)]), "wanted": bound}
        for a, b, bound in wanted
    ]
    return {"photos": photos, "per_second": {name: spread(values) for name, values in rates.items()}, "ratios": ratios}


def growth(data: Path, work: Path, largest: int) -> dict[str, Any]:
    """Seconds a photo as the dataset, the photos and the crowds in them grow, and with more workers."""
    out: dict[str, Any] = {}
    chosen = photos_of(data, 100)
    for n in (n for n in (100, 1_000, 10_000) if n <= largest):
        told = dsanon(laid((chosen * (n // 100))[:n], work / f"n{n}"), work, "--method", "blur")
        out.setdefault("photos", []).append({"photos": n, "ms": 1000 * told["busy"] / n})
    for n in (n for n in (100, 1_000) if n <= largest):
        told = dsanon(work / f"n{n}", work, "--method", "ciagan", workers=0)
        out.setdefault("photos in one worker", []).append({"photos": n, "mib": told["mib"]})
    face = np.asarray(Image.open(chosen[0]).convert("RGB"))
    for megapixels in MEGAPIXELS:
        side = round(float(np.sqrt(megapixels * 1e6)))
        folder = work / f"mp{megapixels}"
        _save([cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)] * 8, folder)
        out.setdefault("megapixels", []).append(_second_half(folder, work) | {"megapixels": megapixels})
    for crowd in CROWDS:
        folder = work / f"crowd{crowd}"
        _save([_crowd(chosen[:crowd])] * 8, folder)
        out.setdefault("faces in 1920 x 1080", []).append(_second_half(folder, work) | {"faces": crowd})
    many = laid((chosen * 3)[:256], work / "workers")
    for workers in (1, 2, 4):
        told = dsanon(many, work, "--method", "blur", workers=workers)
        out.setdefault("workers", []).append({"workers": workers, "ms": 1000 * told["busy"] / 256})
    return out


def _second_half(folder: Path, work: Path) -> dict[str, Any]:
    """Milliseconds a photo of the second half of a folder: the first pays for loading the networks."""
    half = laid(sorted(folder.iterdir())[:4], work / f"{folder.name}-half")
    whole, first = (dsanon(f, work, "--method", "blur", workers=0) for f in (folder, half))
    return {"ms": 1000 * (whole["busy"] - first["busy"]) / 4, "found": whole["counts"]["regions"].get("face", {})}


def _crowd(photos: Sequence[Path]) -> np.ndarray:
    """``photos``, small and side by side, on a grey picture of 1920 × 1080."""
    canvas = np.full((1080, 1920, 3), 110, np.uint8)
    for number, photo in enumerate(photos):
        row, column = divmod(number, 10)
        tile = cv2.resize(np.asarray(Image.open(photo).convert("RGB")), (190, 190), interpolation=cv2.INTER_AREA)
        canvas[row * 210 + 10 : row * 210 + 200, column * 190 + 5 : column * 190 + 195] = tile
    return canvas


def _save(pictures: Sequence[np.ndarray], folder: Path) -> None:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:03d}.jpg", quality=92)


def tables(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = [f"{result['machine']}, {result['date']}; least, **median** and largest of {result['repeats']} runs.", ""]
    for method, part in result.get("stages", {}).items():
        lines += [f"| `{method}`: stage | ms a photo | share | alone |", "| --- | --- | --- | --- |"]
        wall = part["ms"]["wall"][1]
        for stage, values in part["ms"].items():
            alone = part["floor_ms"].get(stage)
            shown = "" if alone is None else f"{alone:.1f}"
            lines.append(f"| {stage} | {_shown(values)} | {values[1] / wall:.0%} | {shown} |")
        floor = sum(part["floor_ms"].values())
        lines += [
            "",
            f"{part['photos']} photos, {part['faces']} faces; wall time {wall / floor:.2f} × the parts alone.",
            "",
        ]
    if "peers" in result:
        part = result["peers"]
        lines += ["| | photos a second |", "| --- | --- |"]
        lines += [f"| {name} | {_shown(values)} |" for name, values in part["per_second"].items()]
        lines += ["", "| | to | ratio | wanted |", "| --- | --- | --- | --- |"]
        lines += [f"| {r['of']} | {r['to']} | {_shown(r['ratio'])} | {r['wanted']} |" for r in part["ratios"]] + [""]
    for what, rows in result.get("growth", {}).items():
        unit = "ms" if "ms" in rows[0] else "mib"
        lines += [f"| {what} | {'ms a photo' if unit == 'ms' else 'peak memory, MiB'} |", "| --- | --- |"]
        key = next(key for key in rows[0] if key not in (unit, "found"))
        lines += [f"| {row[key]:,} | {row[unit]:.1f} |" for row in rows] + [""]
    if "video" in result:
        part = result["video"]
        lines += ["| faces in a frame of 1920 x 1080 | frames a second | peak MB |", "| --- | --- | --- |"]
        lines += [f"| {r['faces']} | {r['fps']:.2f} | {r['peak_mb']:.0f} |" for r in part["crowds"]] + [""]
        lines += ["| frames of 640 x 360, 3 faces | frames a second | peak MB |", "| --- | --- | --- |"]
        lines += [f"| {r['frames']:,} | {r['fps']:.1f} | {r['peak_mb']:.0f} |" for r in part["lengths"]] + [""]
    return "\n".join(lines)


def _shown(values: Sequence[float]) -> str:
    least, median, largest = values
    return f"{least:.2f} **{median:.2f}** {largest:.2f}"


def _stages(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    photos = laid(photos_of(options.data, min(options.photos, 128)), work / "photos")
    return {method: stages(photos, work, method, options.repeats) for method in ("blur", "ciagan")}


def _video(data: Path, work: Path) -> dict[str, Any]:
    photos = photos_of(data, 50)
    return {"crowds": crowds(photos, work), "lengths": lengths(photos, work, (200, 800))}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds lfw/")
    parser.add_argument("--out", type=Path, required=True, help="figures as JSON")
    parser.add_argument("--sections", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--largest", type=int, default=10_000, help="photos of the largest run of growth")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": datetime.now(UTC).date().isoformat(),
        "repeats": options.repeats,
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parts: dict[str, Callable[[], Any]] = {
            "stages": lambda: _stages(options, work),
            "peers": lambda: peers(options.data, work, options.photos, options.repeats),
            "growth": lambda: growth(options.data, work, options.largest),
            "video": lambda: _video(options.data, work),
        }
        for name in options.sections:
            result[name] = parts[name]()
            options.out.write_text(json.dumps(result, indent=2) + "\n")  # the next part may take an hour
            print(f"{name}: {options.out}", file=sys.stderr)
    print(tables(result))


if __name__ == "__main__":
    main()
