"""Loading a generator: verified safetensors in, a network ready to paint out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dsanon.errors import WeightsError
from dsanon.models.architectures import AnyGenerator, build
from dsanon.models.generator import GeneratorConfig, channels_last


@dataclass(frozen=True, slots=True)
class GeneratorCard:
    """What a generator's file says of itself.

    identities: hashes of ``dataset/subject``, or of somebody who is nobody, one a control index
    people: hashes of those whose photos it was trained on · groups: of each of these the control index that stands for
    what they and others have in common; () where none does
    """

    config: GeneratorConfig
    identities: tuple[str, ...]
    people: tuple[str, ...]
    steps: int
    recipe: str
    groups: tuple[int, ...] = ()


def read_card(path: Path) -> GeneratorCard:
    """The metadata of a generator file. Raises WeightsError for anything else."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = json.loads((file.metadata() or {})["dsanon"])
        if metadata["kind"] != "generator":
            raise KeyError("kind")
        config, groups = metadata["config"], metadata.get("groups", ())
        return GeneratorCard(
            GeneratorConfig(**config | {"widths": tuple(config["widths"])}),
            tuple(metadata["identities"]),
            tuple(metadata.get("people", metadata["identities"])),
            int(metadata["steps"]),
            str(metadata["recipe"]),
            tuple(number for _, number in zip(metadata["people"], groups, strict=True)) if groups else (),
        )
    except Exception as error:  # whatever a foreign file makes the parser raise
        raise WeightsError(
            f"{path.name} is no generator of this program ({type(error).__name__}): "
            "expected safetensors written by `dsanon train`"
        ) from error


def load_generator(path: Path, device: torch.device) -> AnyGenerator:
    """The generator in float32, ready for inference. Raises WeightsError."""
    from safetensors.torch import load_file

    generator = build(read_card(path).config)
    try:
        generator.load_state_dict({name: t.float() for name, t in load_file(path).items()})
    except Exception as error:
        raise WeightsError(
            f"{path.name}: its tensors do not fit its own description: train or fetch it anew"
        ) from error
    return channels_last(generator.eval().requires_grad_(False).to(device))


def pick_device(wanted: str) -> torch.device:
    """``auto``: a GPU where there is one. Raises WeightsError for a GPU that isn't there."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise WeightsError(f"--device {wanted}: this machine has no usable GPU; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise WeightsError(f"--device {wanted}: this machine has {torch.cuda.device_count()} GPUs, counted from 0")
    return device
