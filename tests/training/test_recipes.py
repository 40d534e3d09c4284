from __future__ import annotations

from pathlib import Path

import pytest
from dsanon_training.recipe import FAMILIES, load_recipe, recipe_names, table

from dsanon.errors import RecipeError

DOCS = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_documentation_lists_every_key_as_it_is() -> None:
    assert table() in DOCS.read_text(encoding="utf-8")


def test_every_shipped_recipe_is_valid_and_named_after_its_file() -> None:
    names = recipe_names()
    expected = {"ciagan-face", "ciagan-face-24gb", "ciagan-face-8x80gb", "ciagan-paper", "ciagan-reference"}
    others = {"ciagan-body", "classification", "faces", "pix2pix", "cyclegan", "pnca"}
    assert expected | others == set(names)
    loaded = [load_recipe(name) for name in names]
    assert [recipe.name for recipe in loaded] == names
    assert all(recipe.about for recipe in loaded)
    assert {recipe.family for recipe in loaded} == set(FAMILIES)


def test_the_recipe_in_progress_means_what_it_meant() -> None:
    recipe = load_recipe("ciagan-face").as_dict()
    meant = {"family": "ciagan", "batch": 16, "learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.99, "ema": 0.998}
    meant |= {"own_share": 0.35, "mix_share": 0.4, "spread_share": 0.5, "generator_every": 1, "critic_every": 1}
    meant |= {"l1": 6.0, "ring": 6.0, "tone": 4.0, "details": 1.0, "matching": 3.0, "perceptual": 3.0}
    meant |= {
        "identity": 0.08,
        "identity_enough": 0.5,
        "away": 6.0,
        "away_margin": 0.0,
        "turned_share": 0.25,
        "strangers": 128,
        "widths": (16, 32, 64, 128, 256),
    }
    assert {key: recipe[key] for key in meant} == meant


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("family=gan", "none of ciagan, siamese, pix2pix, cyclegan"),
        ("network=unet", "none of paper"),
        ("precision=fp8", "none of auto|none of bf16"),
        ("widths=[8, 0]", "not of type list of int"),
        ("l1=-1", "below 0"),
        ("pretrain=-1", "below 0"),
        ("critic_every=0", "above 0"),
        ("ema=1.5", "outside"),
        ("learning_rate=nan", "a number below 1e100"),
        ("steps=0x" + "f" * 6000, "a number below 1e100"),
        ("compile=1", "not of type bool"),
        ("details=-1", "below 0"),
    ],
)
def test_impossible_values_are_refused(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("ciagan-face", [setting])


def test_only_the_family_that_can_start_from_a_file_does() -> None:
    with pytest.raises(RecipeError, match="takes no file"):
        load_recipe("pix2pix", ["init='x.safetensors'"])
