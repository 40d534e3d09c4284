"""Video: frames a second and peak memory against the faces in a 1920 × 1080 frame, and memory against the length.

``python tests/bench/video.py --data DATA --frames 5000 --out FILE.json`` watches one long video; :mod:`speed` calls the
rest. Real faces (LFW) are pasted at run time and drift over a picture, so that no two frames are alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

CROWDS = (0, 1, 5, 10, 20, 50)
FULL_HD = (1920, 1080)
FEW, MANY = 4, 12  # frames; rates are of the difference, which leaves start-up out
_TILE = 180  # pixels of a pasted photo
_LOOK = 0.5  # seconds between two looks at a process's memory


def crowd(photos: Sequence[Path], frames: int, size: tuple[int, int] = FULL_HD) -> Iterator[np.ndarray]:
    """``frames`` pictures on which ``photos`` stand side by side and drift, 2 pixels a frame, on a coarse texture."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(90, 130, (9, 16, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    tiles = [cv2.resize(np.asarray(Image.open(p).convert("RGB")), (_TILE, _TILE)) for p in photos]
    across = size[0] // (_TILE + 10)
    for number in range(frames):
        picture = ground.copy()
        for index, tile in enumerate(tiles):
            row, column = divmod(index, across)
            x, y = column * (_TILE + 10) + 5, row * (_TILE + 30) + 10
            picture[y : y + _TILE, x : x + _TILE] = tile
        yield np.roll(picture, 2 * number, axis=1)


def encode(path: Path, pictures: Iterator[np.ndarray], size: tuple[int, int] = FULL_HD) -> Path:
    """An MP4 at 30 frames a second."""
    with av.open(os.fspath(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"crf": "20", "preset": "ultrafast"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def anonymized(source: Path, work: Path, *options: str) -> dict[str, Any]:
    """One process's run over a video: what ``--json`` tells, ``busy`` seconds, and ``mb`` of its memory over time."""
    release = Path(tempfile.mkdtemp(dir=work)) / "release"
    command = [sys.executable, "-c", "from dsanon.cli import main; main()", "anonymize", "--dataset", "video"]
    command += [str(source), str(release), "--json", "--workers", "0", "--method", "blur", *options]
    looks: list[list[float]] = []
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}) as run:
        while run.poll() is None:
            looks.append([round(time.perf_counter() - began, 1), resident(run.pid)])
            time.sleep(_LOOK)
        told: dict[str, Any] = json.loads(run.stdout.read()) if run.stdout else {}
    told["busy"] = sum(told["seconds"][stage] for stage in ("find", "link", "plan", "render", "publish"))
    told["mb"] = [look for look in looks if look[1]]
    told["peak_mb"] = max(mb for _, mb in told["mb"])
    return told


def resident(pid: int) -> float:
    """Megabytes of a process's memory that are in use, 0 of one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return round(next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0) / 1024, 1)
    except OSError:
        return 0.0


def crowds(photos: Sequence[Path], work: Path, counts: Sequence[int] = CROWDS) -> list[dict[str, Any]]:
    """Frames a second and peak memory for so many faces a frame, of blur with the detectors that ship."""
    rows = []
    for faces in counts:
        few, many = (
            anonymized(encode(work / f"{faces}-{frames}.mp4", crowd(photos[:faces], frames)), work)
            for frames in (FEW, MANY)
        )
        rows.append(
            {
                "faces": faces,
                "found": sum(many["counts"]["regions"].get("face", {}).values()) / MANY,
                "fps": (MANY - FEW) / (many["busy"] - few["busy"]),
                "peak_mb": many["peak_mb"],
            }
        )
    return rows


def lengths(photos: Sequence[Path], work: Path, counts: Sequence[int]) -> list[dict[str, Any]]:
    """Peak memory for so many frames of 640 × 360 with three faces, and how it went on over time."""
    size = (640, 360)
    rows = []
    for frames in counts:
        path = encode(work / f"long-{frames}.mp4", crowd(photos[:3], frames, size), size)
        told = anonymized(path, work, "--detectors", "centerface:size=640")
        step = max(1, len(told["mb"]) // 20)
        rows.append(
            {
                "frames": frames,
                "fps": frames / told["busy"],
                "peak_mb": told["peak_mb"],
                "mb": told["mb"][::step],
                "counts": told["counts"],
                "seconds": told["seconds"],
            }
        )
    return rows


def main() -> None:
    """One long video."""
    from speed import photos_of

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds lfw/")
    parser.add_argument("--out", type=Path, required=True, help="figures as JSON")
    parser.add_argument("--frames", type=int, nargs="+", default=[5000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = lengths(photos_of(options.data, 3), Path(folder), options.frames)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    for row in result:
        print(f"{row['frames']} frames: {row['fps']:.1f} frames/s, at most {row['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
