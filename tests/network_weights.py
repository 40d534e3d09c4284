"""Weights made by hand, for networks whose real ones are the users'."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from dsanon_training.checkpoints import export
from safetensors.torch import save_file
from torch import Tensor, nn

from dsanon.models.architectures import build
from dsanon.models.generator import GeneratorConfig
from dsanon.models.ssh import VGG, Ssh

N = TypeVar("N", bound=nn.Module)


def neutral(network: N) -> N:
    """All weights 0, and batch norms that leave things as they are."""
    for module in network.modules():
        for p in module.parameters(recurse=False):
            nn.init.zeros_(p)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
    return network.eval().requires_grad_(False)


def brightness(network: Ssh) -> Ssh:
    """SSH whose trunk passes on, as its channel 0, how far a cell's brightest pixel is above the mean, in [0, 1]."""
    for number, widths in enumerate(VGG, 1):
        for index in range(1, len(widths) + 1):
            layer = network.get_submodule(f"conv{number}_{index}")
            first = number == index == 1
            layer.weight.data[0, slice(None) if first else 0, 1, 1] = 1 / 3 / 141.1 if first else 1
    network.get_submodule("conv4_128").weight.data[0, 0] = 1
    network.get_submodule("conv4_fuse_final").weight.data[0, 0, 1, 1] = 1
    for name in ("m1", "m2", "m3"):
        network.get_submodule(f"{name}@ssh_cls_score").bias.data = torch.tensor([20.0, 20, 0, 0])
    return network


def square_finder(name: str, anchor: int, shift: float, growth: float) -> dict[str, Tensor]:
    """Weights with which SSH's module ``name`` finds a bright square of 3 × 3 of its cells, and nothing else.

    anchor: which of its two says so · shift, growth: of that anchor's box, dx = dy and dw = dh
    """
    network = brightness(neutral(Ssh()))
    network.get_submodule(f"{name}@ssh_3x3").weight.data[0, 0] = 1  # how many of the nine are bright
    score = network.get_submodule(f"{name}@ssh_cls_score")
    score.weight.data[2 + anchor, 0], score.bias.data[2 + anchor], score.bias.data[anchor] = 10, -85, 0
    network.get_submodule(f"{name}@ssh_bbox_pred").bias.data[4 * anchor : 4 * anchor + 4] = torch.tensor(
        [shift, shift, growth, growth]
    )
    return network.state_dict()


def cyclegan(folder: Path) -> Path:
    """FOLDER/cyclegan.safetensors: a generator of random weights without identities."""
    torch.manual_seed(0)
    generator = build(GeneratorConfig(0, architecture="cyclegan"))
    card = {"kind": "generator", "recipe": "cyclegan", "steps": 0, "identities": []}
    file = folder / "cyclegan.safetensors"
    export(file, generator.state_dict(), card | {"config": generator.config.as_dict()})
    return file


def write(file: Path, state: dict[str, Tensor]) -> Path:
    """``state`` as a safetensors file."""
    save_file({name: t.contiguous() for name, t in state.items()}, file)
    return file
