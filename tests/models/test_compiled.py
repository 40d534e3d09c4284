"""Compiled networks: the same pictures as PyTorch's, the same bits on every call, and nothing told to anybody."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from dsanon.models.architectures import PAINTS, build
from dsanon.models.compiled import Compiled
from dsanon.models.generator import Generator, GeneratorConfig

LEVEL = 1 / 127.5  # of 256, in the generators' range of [-1, 1]


def planes(config: GeneratorConfig, seed: int) -> list[torch.Tensor]:
    """What a generator is shown, drawn at random: a hidden square, and a margin beyond the photo."""
    dice = torch.Generator().manual_seed(seed)
    shape = (config.size, config.across)
    hidden, padding = torch.zeros(1, 1, *shape), torch.zeros(1, 1, *shape)
    hidden[..., 30:110, 20:-20] = 1
    padding[..., :4] = 1
    control = torch.rand(1, config.identities, generator=dice)
    return [
        (torch.rand(1, 3, *shape, generator=dice) > 0.97).float(),
        torch.rand(1, 3, *shape, generator=dice) * 2 - 1,
        hidden,
        padding,
        control / control.sum().clamp_min(1e-6),
    ]


@pytest.mark.parametrize("architecture", sorted({name for names in PAINTS.values() for name in names}))
def test_it_paints_what_the_network_paints_to_within_half_a_level(architecture: str) -> None:
    torch.manual_seed(0)
    identities = 0 if architecture in ("pix2pix", "cyclegan") else 7
    across = 64 if architecture == "ciagan-body" else 128
    config = GeneratorConfig(identities, (8, 16, 16, 32, 32), architecture=architecture, across=across)
    network = build(config).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith(("affine.weight", "constant")):  # else every identity looks alike, and norms do nothing
            torch.nn.init.normal_(parameter, std=0.3)
    compiled = Compiled(network, [torch.zeros_like(plane) for plane in planes(config, 0)])
    with torch.inference_mode():
        shown = planes(config, 1)
        expected, found = network(*shown).numpy(), compiled(*shown)
        assert found.std() > 2 * LEVEL  # a picture, not a plain
        assert np.abs(found - expected).max() <= LEVEL / 2
        other = compiled(*planes(config, 2))
    assert np.abs(other - found).max() > 2 * LEVEL  # no constant was made of what is shown


def test_the_same_input_gives_the_same_bits_whatever_came_before() -> None:
    config = GeneratorConfig(7, (8, 16, 16, 32, 32))
    torch.manual_seed(0)
    network = Generator(config).eval().requires_grad_(False)
    first, second = (Compiled(network, planes(config, 0)) for _ in range(2))
    shown, others = planes(config, 1), planes(config, 2)
    alone = first(*shown)
    kept = alone.copy()
    second(*others)
    assert first(*others).tobytes() == second(*others).tobytes()
    assert first(*shown).tobytes() == second(*shown).tobytes() == alone.tobytes()
    assert np.array_equal(alone, kept)  # what was answered is not written over


def test_ctrl_c_is_heard_after_networks_went_in_the_order_in_which_they_came() -> None:
    """OpenVINO would leave a stack for signals behind that is no longer there."""
    command = """
import os, signal, torch
from dsanon.models.compiled import Compiled
first, second = (Compiled(torch.nn.Conv2d(1, 1, 3), [torch.zeros(1, 1, 8, 8)]) for _ in range(2))
del first
del second
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("heard")
"""
    told = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, "heard\n"), told.stderr


def test_openvino_reports_its_use_to_nobody() -> None:
    code = (
        "import sys; from dsanon.models.compiled import _openvino; _openvino();"
        "from openvino.tools.ovc import telemetry_utils;"
        "print(telemetry_utils.tm.__name__, any(name.startswith('openvino_telemetry.') for name in sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False"]
