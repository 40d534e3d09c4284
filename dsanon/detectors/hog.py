"""dlib's frontal face detector (Dalal and Triggs' HOG, five linear filters). It ships inside dlib."""

from __future__ import annotations

import numpy as np

from dsanon.detectors import Detection, ranked, shrunk
from dsanon.sample import Pixels

LIMIT = 6000  # pixels of the longest side after upsampling: some 2 s and 1 GB


class Hog:
    """``upsample``: 0 finds faces from about 80 pixels, 1 from about 40 (four times the time)."""

    name = "hog"

    def __init__(self, upsample: int = 0) -> None:
        import dlib

        self.upsample = upsample
        self._detector = dlib.get_frontal_face_detector()

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces, best first: squares from the brows to the chin. score: the logistic of dlib's margin."""
        small, grow = shrunk(pixels, LIMIT)
        times = min(self.upsample, int(max(small.shape) * 2 <= LIMIT))
        rects, margins, _ = self._detector.run(small, times, 0.0)
        found = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rects]).reshape(-1, 4)
        return ranked(self.name, found * np.tile(grow, 2), 1 / (1 + np.exp(-np.asarray(margins, dtype=np.float64))))
