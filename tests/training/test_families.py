from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dsanon_training.batches import Batch, People, batch
from dsanon_training.crops import open_crops
from dsanon_training.engine import Engine, pick_precision
from dsanon_training.families import Family, open_family
from dsanon_training.grids import grid
from dsanon_training.recipe import Recipe, load_recipe
from made_up_crops import made_up_cache

CPU = torch.device("cpu")
LOSSES = {
    "ciagan-paper": {"critic", "guide", "pixel", "identity"},
    "ciagan-reference": {"critic", "guide", "pixel", "identity"},
    "classification": {"critic", "guide", "pixel", "identity"},
    "pix2pix": {"critic", "pixel", "l1"},
    "pnca": {"nca"},
    "cyclegan": {"critic_photo", "critic_sketch", "pixel", "pixel_sketch", "cycle_sketch", "cycle_photo"},
}


def opened(tmp_path: Path, recipe: Recipe) -> tuple[Family, Callable[[int], Batch]]:
    """The family in the faster precision here, and what draws a step's batch."""
    crops = open_crops(made_up_cache(tmp_path / "crops"))
    people = People(crops, recipe.min_photos)
    family = open_family(recipe, Engine(CPU, pick_precision("auto", CPU)), crops, people)
    return family, lambda step: batch(crops, people, recipe, step, partners=family.partners).to(CPU)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_step_trains_every_network(name: str, tmp_path: Path) -> None:
    often = ["generator_every=1"] if name != "ciagan-reference" else []
    settings = ["batch=1", "pretrain=0", "min_photos=2", "learning_rate=1e-3"]
    family, draw = opened(tmp_path, load_recipe(name, settings + often))
    networks = {"generator": family.generator, **family.networks}
    before = {key: [p.detach().clone() for p in network.parameters()] for key, network in networks.items()}
    terms = family.step(draw(0), 0)
    assert set(terms) == LOSSES[name]
    assert all(torch.isfinite(value) for value in terms.values())
    for key, network in networks.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[key], network.parameters(), strict=True)]
        assert sum(moved) > 0.8 * len(moved), key
        assert all(p.requires_grad for p in network.parameters())


def test_first_the_guide_alone_then_each_side_as_often_as_the_recipe_says(tmp_path: Path) -> None:
    settings = ["batch=2", "pretrain=1", "min_photos=2", "generator_every=2", "critic_every=3"]
    family, draw = opened(tmp_path, load_recipe("ciagan-paper", settings))
    before = [p.detach().clone() for p in family.generator.parameters()]
    guide = [p.detach().clone() for p in family.networks["guide"].parameters()]
    assert set(family.step(draw(0), 0)) == {"pretrain"}
    assert all(map(torch.equal, before, family.generator.parameters()))
    assert not all(map(torch.equal, guide, family.networks["guide"].parameters()))
    assert set(family.step(draw(1), 1)) == set()
    assert set(family.step(draw(3), 3)) == {"critic", "guide"}
    assert grid(family.average, draw(0), [(0,), (0, 1)]).shape == (2 * 128, 4 * 128, 3)
