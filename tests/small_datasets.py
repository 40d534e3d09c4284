"""A CelebA and an LFW of a few photos, all of the astronaut's portrait: layouts and people are real, faces are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# CelebA: person and partition of each photo · LFW: person and number of photos; the last is not in pairs.txt
CELEBA = ((1, 2), (1, 2), (2, 2), (2, 2), (3, 0))
LFW = {"Ann_One": 2, "Ann_Two": 2}
PAIRS = ("Ann_One\t1\t2", "Ann_One\t1\tAnn_Two\t2", "Ann_Two\t1\t2", "Ann_Two\t2\tAnn_One\t2")


def small_datasets(
    root: Path, celeba: tuple[tuple[int, int], ...] = CELEBA, lfw: dict[str, int] = LFW, faceless: int = 0
) -> Path:
    """ROOT with celeba/ and lfw/. Even people of CelebA, and Ann_Two, are mirrored; every photo is turned a little.

    faceless: the number of a photo of CelebA on which there is no face, 0 for none
    """
    from skimage import data

    portrait = Image.fromarray(np.asarray(data.astronaut())[10:240, 130:317])
    mirrored = portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    photos = root / "celeba" / "img_align_celeba"
    photos.mkdir(parents=True)
    identities, partitions = [], []
    for number, (person, partition) in enumerate(celeba, 1):
        name = f"{number:06d}.jpg"
        face = (portrait if person % 2 else mirrored).resize((178, 218)).rotate(number)
        (Image.new("RGB", face.size, (90, 120, 90)) if number == faceless else face).save(photos / name, quality=95)
        identities.append(f"{name} {person}\n")
        partitions.append(f"{name} {partition}\n")
    (root / "celeba" / "identity_CelebA.txt").write_text("".join(identities))
    (root / "celeba" / "list_eval_partition.txt").write_text("".join(partitions))
    for person, count in lfw.items():
        folder = root / "lfw" / "lfw" / person
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            face = (mirrored if person == "Ann_Two" else portrait).resize((220, 250)).rotate(2 * number)
            face.save(folder / f"{person}_{number:04d}.jpg", quality=95)
    (root / "lfw" / "pairs.txt").write_text("2\t1\n" + "".join(f"{pair}\n" for pair in PAIRS))
    return root
