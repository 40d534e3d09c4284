"""dlib's convolutional face detector (max-margin object detection, King 2015): good at profiles, slow on a CPU."""

from __future__ import annotations

import numpy as np

from dsanon.detectors import Detection, ranked, shrunk
from dsanon.models import store
from dsanon.sample import Pixels

LEAST = 128  # pixels: dlib raises for an image that its filters do not fit into, so a smaller one gets a black border


class Mmod:
    """``size``: longest side, in pixels, at which is looked; time and memory grow with its square.

    ``upsample``: 0 finds faces from about 80 pixels of that, 1 from about 40.
    """

    name = "mmod"

    def __init__(self, size: int = 1024, upsample: int = 0) -> None:
        import dlib

        self.size, self.upsample = size, upsample
        self._detector = dlib.cnn_face_detection_model_v1(str(store.path("mmod")))

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces, best first: squares around brows and chin. score: dlib's confidence, cut off at 0 and 1."""
        small, grow = shrunk(pixels, self.size >> self.upsample)
        short = [(0, max(0, LEAST - side)) for side in small.shape[:2]]
        hits = self._detector(np.pad(small, [*short, (0, 0)]), self.upsample)
        rects = [hit.rect for hit in hits]
        found = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rects]).reshape(-1, 4)
        scores = [min(max(hit.confidence, 0.0), 1.0) for hit in hits]
        return ranked(self.name, found * np.tile(grow, 2), scores)
