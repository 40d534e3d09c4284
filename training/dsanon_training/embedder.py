"""The auditor's network: a face to a vector, near to those of the same person and far from all others."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.errors import WeightsError
from dsanon_training.backbones import MobileNetV2Features

KIND = "recogniser"  # of its file


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    """identities: people it learned to tell apart · length: of its vectors · size: pixels of a crop that it looks at"""

    identities: int
    length: int = 256
    size: int = 96
    architecture: str = "pnca"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Embedder(nn.Module):
    """MobileNetV2 up to its last bottleneck, averaged and at its maximum, and a linear layer on both.

    weights: ImageNet's, from which it starts; None: those of a file are to be loaded
    """

    def __init__(self, config: EmbedderConfig, weights: Path | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = MobileNetV2Features(weights).requires_grad_(True)
        self.embedding = nn.Linear(2 * self.backbone.channels[-1], config.length)

    def forward(self, pixels: Tensor) -> Tensor:
        """Aligned crops (n, 3, s, s) in [-1, 1] to unit vectors (n, length)."""
        small = F.interpolate(pixels, size=(self.config.size, self.config.size), mode="bilinear", antialias=True)
        last = self.backbone(small)[-1]
        pooled = torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)
        return F.normalize(self.embedding(pooled).float(), dim=1)


@dataclass(frozen=True, slots=True)
class EmbedderCard:
    """What the file of an embedder says of itself. identities: hashes of ``dataset/subject`` of all it learned from."""

    config: EmbedderConfig
    identities: frozenset[str]
    steps: int


def read_card(path: Path) -> EmbedderCard:
    """The metadata of an embedder's file. Raises WeightsError for anything else."""
    from dsanon.models import store

    try:
        said = json.loads(store.metadata(path)["dsanon"])
        if said["kind"] != KIND:
            raise KeyError("kind")
        return EmbedderCard(EmbedderConfig(**said["config"]), frozenset(said["identities"]), int(said["steps"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path.name} is no recogniser of this program ({type(error).__name__}): expected a file of `dsanon train`"
        ) from error


def load_embedder(path: Path) -> Embedder:
    """The embedder in ``path`` in float32, ready for inference. Raises WeightsError."""
    from safetensors.torch import load_file

    network = Embedder(read_card(path).config)
    try:
        network.load_state_dict({name: t.float() for name, t in load_file(path).items()})
    except RuntimeError as error:
        raise WeightsError(f"{path.name}: its tensors do not fit its own description: train it anew") from error
    return network.eval().requires_grad_(False)
