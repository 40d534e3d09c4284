"""Families of methods: which networks learn, and what one step does with a batch. The loop is the same for all."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dsanon.models.architectures import AnyGenerator, build
from dsanon.models.generator import GeneratorConfig
from dsanon_training.batches import Batch, People
from dsanon_training.crops import Crops
from dsanon_training.embedder import Embedder
from dsanon_training.engine import Descent, Engine
from dsanon_training.recipe import Recipe


class Family(Protocol):
    """generator: learns · average: follows it, and ships · networks, descents: all else that a checkpoint holds.

    critics: exported beside the generator, so that another run can start from both, () if none can
    partners: whether a batch must bring photos of the targets
    kind: what ships, a ``generator`` or a ``recogniser``
    """

    kind: str
    generator: AnyGenerator | Embedder
    average: AnyGenerator | Embedder
    networks: dict[str, nn.Module]
    descents: dict[str, Descent]
    critics: tuple[nn.Module, ...]
    partners: bool

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Learn from ``batch``; the losses by name, detached."""
        ...


# family → module and class: only the one that trains is imported
_FAMILIES = {
    "ciagan": "ciagan.Ciagan",
    "siamese": "siamese_guided.SiameseGuided",
    "pix2pix": "translators.Pix2PixFamily",
    "cyclegan": "translators.CycleGanFamily",
    "pnca": "pnca.Pnca",
}


def open_family(recipe: Recipe, engine: Engine, crops: Crops, people: People) -> Family:
    """The recipe's family with its initial weights: the same in every process."""
    torch.manual_seed(recipe.seed)
    module, name = _FAMILIES[recipe.family].split(".")
    family: Callable[..., Family] = getattr(import_module(f"{__name__}.{module}"), name)
    return family(recipe, engine, crops, people)


def pair(config: GeneratorConfig, engine: Engine) -> tuple[Any, Any]:
    """A generator and its moving average, equal at first."""
    generator = engine.place(build(config))
    average = engine.place(build(config)).requires_grad_(False)
    average.load_state_dict(generator.state_dict())
    return generator, average.eval()


def forward_of(generator: nn.Module, recipe: Recipe) -> Callable[..., Tensor]:
    """What to call for a forward pass: the generator, compiled where the recipe says so."""
    return torch.compile(generator) if recipe.compile else generator


def composite(painted: Tensor, batch: Batch) -> Tensor:
    """Painted pixels inside the region, the photo outside, mixed at the border."""
    return batch.weight * painted.float() + (1 - batch.weight) * batch.real
