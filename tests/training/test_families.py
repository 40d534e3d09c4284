from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dsanon_training.batches import People, batch
from dsanon_training.crops import open_crops
from dsanon_training.engine import Engine
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
    "cyclegan": {"critic_photo", "critic_sketch", "pixel", "pixel_sketch", "cycle_sketch", "cycle_photo"},
}


def opened(tmp_path: Path, recipe: Recipe, engine: Engine) -> tuple[Family, object]:
    crops = open_crops(made_up_cache(tmp_path / "crops"))
    people = People(crops, recipe.min_photos)
    family = open_family(recipe, engine, crops, people)
    return family, lambda step: batch(crops, people, recipe, step, partners=family.partners)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_step_trains_every_network(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, ["batch=2", "pretrain=0", "generator_every=1", "min_photos=2", "learning_rate=1e-3"])
    family, draw = opened(tmp_path, recipe, Engine(CPU, torch.float32))
    networks = {"generator": family.generator, **family.networks}
    before = {key: [p.detach().clone() for p in network.parameters()] for key, network in networks.items()}
    terms = family.step(draw(0), 0)  # type: ignore[operator]
    assert set(terms) == LOSSES[name]
    assert all(torch.isfinite(value) for value in terms.values())
    for key, network in networks.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[key], network.parameters(), strict=True)]
        assert sum(moved) > 0.8 * len(moved), key
        assert all(p.requires_grad for p in network.parameters())
    shown = grid(family.average, draw(0), [0, 1])  # type: ignore[operator]
    assert shown.shape == (2 * 128, (4 if family.average.config.identities else 3) * 128, 3)


def test_pretraining_is_the_guides_alone(tmp_path: Path) -> None:
    recipe = load_recipe("ciagan-paper", ["batch=2", "pretrain=1", "min_photos=2", "warmup=1"])
    family, draw = opened(tmp_path, recipe, Engine(CPU, torch.float32))
    before = [p.detach().clone() for p in family.generator.parameters()]
    guide = [p.detach().clone() for p in family.networks["guide"].parameters()]
    assert set(family.step(draw(0), 0)) == {"pretrain"}  # type: ignore[operator]
    assert all(map(torch.equal, before, family.generator.parameters()))
    assert not all(map(torch.equal, guide, family.networks["guide"].parameters()))


def test_how_often_each_side_learns(tmp_path: Path) -> None:
    recipe = load_recipe("ciagan-reference", ["batch=2", "min_photos=2", "generator_every=2"])
    family, draw = opened(tmp_path, recipe, Engine(CPU, torch.float32))
    assert "pixel" not in family.step(draw(1), 1)  # type: ignore[operator]
