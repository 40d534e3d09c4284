"""Who is it, by what a method left visible? Every pixel that it replaced is blacked out, in release and gallery alike.

A recogniser looks at a crop twice as wide as a face, and ImageNet's MobileNetV2 at the same surroundings. What is
hidden has the outline of the original's face: an attacker who can guess it so well is a strong one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsanon_eval.attacks.reidentification import chance, measure, ranks
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import recognisers
from dsanon_eval.seeing.gathered import Gathered, Picture
from dsanon_eval.seeing.observation import FEATURES
from dsanon_eval.seeing.pictures import OUTSIDE

NAME, SAME_PHOTO = "outside_recall_at_1", "outside_self_recall_at_1"
WIDE = 2.0  # times a face's crop
KINDS = (f"{OUTSIDE} original", f"{OUTSIDE} release")


def outside(gathered: Gathered) -> list[Measurement]:
    """Recall@1 by other photos of the person, and by the very photo; of the original's surroundings beside it."""
    if not all(kind in gathered.derived for kind in KINDS):
        return []
    gallery = gathered.derived[KINDS[0]]
    out: list[Measurement] = []
    for name in [*gallery.embeddings, *([FEATURES] if gallery.face_features.shape[1] else [])]:
        model = recognisers.label(name)
        known = _vectors(gallery, name)
        mean, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0) + 1e-6
        for figure, own in ((NAME, False), (SAME_PHOTO, True)):
            for kind in KINDS:
                control = kind.removeprefix(f"{OUTSIDE} ")
                if own and control == "original":
                    continue  # the same picture twice
                picture = gathered.derived[kind]
                probes = _scaled(_vectors(picture, name), mean, scale)
                found = ranks(probes, _scaled(known, mean, scale), gathered.people, own, asked=picture.looked)
                out += measure(found, figure, model, control)
                out += chance(found, figure, model) if control == "release" else []
    return out


def _vectors(picture: Picture, name: str) -> npt.NDArray[np.float32]:
    return picture.face_features if name == FEATURES else picture.embeddings[name]


def _scaled(
    vectors: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Unit vectors about the gallery's mean: a covered face makes all embeddings much alike."""
    x = (vectors.astype(np.float64) - mean) / scale
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9))
