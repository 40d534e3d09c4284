"""``dsanon demo``: the main job on an example that ships and needs no download.

The people are one: the public-domain portrait of the astronaut Eileen Collins that scikit-image carries, several
times in a group picture, and panned over in a short clip.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dsanon.config import JobConfig
from dsanon.errors import UsageError
from dsanon.job import anonymize, default_workers
from dsanon.layout import ReleasePaths
from dsanon.sample import Pixels

_FRAMES, _RATE = 24, 12


def run(folder: Path) -> tuple[Path, Path]:
    """Make the example in ``folder``, anonymize it, and tell where to look; returns the photos and their release.

    Raises UsageError if it exists.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: name another folder, or remove it")
    try:
        photos, clips = folder / "source" / "photos", folder / "source" / "clips"
        for place in (photos, clips):
            place.mkdir(parents=True)
        group = group_picture()
        Image.fromarray(portrait()).save(photos / "portrait.jpg", quality=95)
        Image.fromarray(group).save(photos / "group.png")
        write_clip(clips / "pan.mp4", group)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}): name another folder") from error
    for dataset, source in (("folder", photos), ("video", clips)):
        release = folder / f"{source.name}-release"
        outcome = anonymize(
            JobConfig(dataset=dataset, source=source.absolute()),
            ReleasePaths.of(source, release),
            workers=min(2, default_workers()) if dataset == "folder" else 0,
        )
        print(f"{source} -> {release}: {outcome.counts.by_status()}")
    sheet = folder / "compare.png"
    Image.fromarray(compare(photos, folder / "photos-release" / "data")).save(sheet)
    print(f"look at  {sheet}\nread     {folder / 'photos-release' / 'CARD.md'}")
    return photos, folder / "photos-release"


def portrait() -> Pixels:
    """Head and shoulders of the portrait, (340, 512, 3)."""
    from skimage import data

    return np.asarray(data.astronaut()[:340], dtype=np.uint8)


def group_picture() -> Pixels:
    """Three of her in one picture, (350, 1100, 3): mirrored, turned, of different sizes and light."""
    person = portrait()[:, 60:400]
    picture = np.full((350, 1100, 3), (92, 104, 120), np.uint8)
    for x, scale, angle, light in ((10, 1.0, 0, 1.0), (380, 0.86, 8, 0.8), (740, 0.95, -6, 1.1)):
        turn = cv2.getRotationMatrix2D((170, 170), angle, scale)
        turn[:, 2] += (x + 10, 5)
        source = person[:, ::-1] if x == 380 else person
        source = np.clip(source * light, 1, 255).astype(np.uint8)
        placed = cv2.warpAffine(np.ascontiguousarray(source), turn, (1100, 350))
        inside = cv2.warpAffine(np.full(source.shape[:2], 255, np.uint8), turn, (1100, 350)) == 255
        picture[inside] = placed[inside]
    return picture


def write_clip(path: Path, picture: Pixels) -> None:
    """Two seconds of panning over ``picture``."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE)
        stream.width, stream.height, stream.pix_fmt = 640, 350, "yuv420p"
        for number in range(_FRAMES):
            x = round((picture.shape[1] - 640) * number / (_FRAMES - 1))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:, x : x + 640]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def compare(source: Path, release: Path) -> Pixels:
    """Sources above, releases below, matched by size."""
    before = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(source.iterdir())]
    after = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(release.rglob("*.*"))]
    pairs = [(b, next(a for a in after if a.shape == b.shape)) for b in before]
    height = max(b.shape[0] for b, _ in pairs)
    rows = [
        np.hstack([np.pad(p[i], ((0, height - p[i].shape[0] + 6), (0, 6), (0, 0)), constant_values=255) for p in pairs])
        for i in (0, 1)
    ]
    return np.vstack(rows)
