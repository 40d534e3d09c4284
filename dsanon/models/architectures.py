"""Which networks a generator file may describe, and which of them a method paints with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dsanon.errors import WeightsError
from dsanon.models.encoder_decoder import EncoderDecoder, Faces, Paper, Reference
from dsanon.models.generator import Generator, GeneratorConfig
from dsanon.models.translation import CycleGan, Pix2Pix

AnyGenerator: TypeAlias = Generator | EncoderDecoder | Pix2Pix | CycleGan

ARCHITECTURES: dict[str, Callable[[GeneratorConfig], AnyGenerator]] = {
    "ciagan": Generator,
    "ciagan-body": Generator,
    "paper": Paper,
    "reference": Reference,
    "faces": Faces,
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGan,
}

# what a model that a method paints with may be; ``faces`` is in none of them: it was trained to look at the source
PAINTS: dict[str, tuple[str, ...]] = {
    "ciagan-face": ("ciagan", "paper", "reference"),
    "ciagan-body": ("ciagan-body",),
    "pix2pix": ("pix2pix",),
    "cyclegan": ("cyclegan",),
}


def build(config: GeneratorConfig) -> AnyGenerator:
    """The network that ``config`` describes, with random weights. Raises WeightsError for an unknown one."""
    if config.architecture not in ARCHITECTURES:
        raise WeightsError(f"architecture {config.architecture!r} is unknown: known are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[config.architecture](config)
