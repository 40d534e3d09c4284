"""What a step of a recipe costs: arithmetic and memory per sample, measured, for choosing batch size and device.

``python -m dsanon_training.cost RECIPE CROPS`` prints them; CROPS is a folder of prepared crops.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dsanon_training.batches import People, batch
from dsanon_training.crops import Crops, open_crops
from dsanon_training.engine import Engine, engine_for
from dsanon_training.families import open_family
from dsanon_training.recipe import Recipe, load_recipe


@dataclass(frozen=True, slots=True)
class Cost:
    """flops: floating-point operations of a step per sample · held: bytes per sample that wait for a backward pass, at
    the fullest moment · fixed: bytes of weights, gradients and optimisers' state
    """

    flops: float
    held: float
    fixed: int


class _Ledger:
    """Counts the bytes of what autograd keeps for its backward pass, each storage once, the weights not at all."""

    def __init__(self, weights: set[int]) -> None:
        self.weights, self.holders = weights, Counter[int]()
        self.live = self.peak = 0

    def pack(self, tensor: Tensor) -> _Held:
        return _Held(self, tensor)


class _Held:
    def __init__(self, ledger: _Ledger, tensor: Tensor) -> None:
        self.ledger, self.tensor = ledger, tensor
        self.key = tensor.untyped_storage().data_ptr()
        if self.key not in ledger.weights:
            if not ledger.holders[self.key]:
                ledger.live += tensor.untyped_storage().nbytes()
                ledger.peak = max(ledger.peak, ledger.live)
            ledger.holders[self.key] += 1

    def __del__(self) -> None:
        if self.key not in self.ledger.weights:
            self.ledger.holders[self.key] -= 1
            if not self.ledger.holders[self.key]:
                self.ledger.live -= self.tensor.untyped_storage().nbytes()


def measure(recipe: Recipe, crops: Crops, engine: Engine) -> Cost:
    """From steps of two and of four samples with everything at work; what they share cancels out."""
    people = People(crops, recipe.min_photos, recipe.strangers)
    seen = {}
    step = recipe.teacher_full - recipe.teacher_full % (recipe.generator_every * recipe.critic_every)
    for size in (2, 4):
        small = replace(recipe, batch=size, pretrain=0)
        family = open_family(small, engine, crops, people)
        drawn = batch(crops, people, small, step, partners=family.partners).to(engine.device)
        drawn = replace(drawn, own=torch.arange(size, device=engine.device) >= round(size * (1 - recipe.own_share)))
        networks = (family.generator, family.average, *family.networks.values())
        weights = [p for network in networks for p in network.parameters()]
        ledger = _Ledger({p.untyped_storage().data_ptr() for p in weights})
        counter = FlopCounterMode(display=False)
        with counter, torch.autograd.graph.saved_tensors_hooks(ledger.pack, lambda held: held.tensor):
            family.step(drawn, step)
        seen[size] = counter.get_total_flops(), ledger.peak
    learnt = sum(p.nbytes for descent in family.descents.values() for p in descent.parameters)
    fixed = sum(p.nbytes for p in weights) + 3 * learnt  # a gradient and Adam's two moments
    (few, little), (more, much) = seen[2], seen[4]
    return Cost((more - few) / 2, (much - little) / 2, fixed)


if __name__ == "__main__":
    chosen = load_recipe(sys.argv[1])
    found = measure(chosen, open_crops(Path(sys.argv[2])), engine_for(replace(chosen, batch=4), torch.device("cpu")))
    print(
        f"{found.flops / 1e9:.1f} GFLOP and {found.held / 2**20:.0f} MiB a sample, {found.fixed / 2**20:.0f} MiB fixed"
    )
