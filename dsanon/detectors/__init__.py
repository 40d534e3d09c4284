"""Face detectors behind one port. Adding one is a new file here and one line in ``DETECTORS``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dsanon.sample import Box, Pixels


@dataclass(frozen=True, slots=True)
class Detection:
    """One face. score in [0, 1], comparable within a detector only.

    points: left eye, right eye, nose, left and right mouth corner as the viewer sees them, () where not given
    """

    box: Box
    score: float
    detector: str
    points: tuple[tuple[float, float], ...] = ()


class Detector(Protocol):
    """Finds faces in one sample. Called once a sample, by one thread."""

    name: str

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces of ``pixels`` (h, w, 3) uint8 RGB, in a deterministic order; boxes may reach over the border."""
