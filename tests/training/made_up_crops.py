"""A cache of crops that shows nobody: noise, and drawn landmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from dsanon_training.crops import CANVAS
from faces import drawn_landmarks

IDENTITIES, PHOTOS, UNSEEN = 3, 4, 2


def made_up_cache(folder: Path, shards: int = 2, name: str = "") -> Path:
    """Three people with four photos each, who train, and two who are looked at."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = [f"lfw/{name}{person}" for person in range(IDENTITIES) for _ in range(PHOTOS)]
    labels += [f"celeba/{person}" for person in range(UNSEEN)]
    n = len(labels)
    coarse = rng.integers(0, 256, (n, 11, 11, 3), dtype=np.uint8)
    pixels = coarse.repeat(CANVAS // 11, 1).repeat(CANVAS // 11, 2)
    names = []
    for number, piece in enumerate(np.array_split(pixels, shards)):
        names.append(f"pixels-{number:05d}.npy")
        np.save(folder / names[-1], piece)
    points = np.stack([drawn_landmarks(CANVAS / 2, CANVAS / 2 - 8, 60) + rng.normal(0, 1, 2) for _ in range(n)])
    np.save(folder / "landmarks.npy", points.astype(np.float32))
    corners = np.array([[0, 0], [CANVAS - 20, 0], [CANVAS - 20, CANVAS], [0, CANVAS]], np.float32)
    np.save(folder / "corners.npy", np.repeat(corners[None], n, 0))
    held = [label.startswith("celeba") for label in labels]
    (folder / "index.json").write_text(json.dumps({"labels": labels, "held_out": held, "shards": names}))
    return folder
