from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from dsanon_training.engine import engine_for
from dsanon_training.loop import CHECKPOINT, learning_rate, run
from dsanon_training.recipe import Recipe, validate
from dsanon_training.report import Report
from made_up_crops import made_up_cache
from safetensors.torch import load_file

from dsanon.errors import RecipeError
from dsanon.models import store
from dsanon.models.weights import read_card

TINY = {"widths": [8, 8, 8, 8, 8], "embedding": 16, "batch": 2, "min_photos": 2, "identity": 0.0, "away": 0.0}
TINY |= {"decay_from": 1.0, "precision": "fp32", "log_every": 1, "grid_every": 2, "save_every": 2, "loaders": 0}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_cache(tmp_path_factory.mktemp("cache") / "crops")


def trained(cache: Path, out: Path, **settings: object) -> Path:
    recipe = validate(TINY | {"name": "tiny", "steps": 3, **settings})
    return run(recipe, cache, out, engine_for(recipe, torch.device("cpu")), Report())


def test_a_resumed_run_is_the_unbroken_one_and_its_folder_says_all(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    file = trained(cache, whole, steps=3, details=1.0)
    trained(cache, broken, steps=2, details=1.0)
    with (broken / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "l1": 7}\n{"step": 4, "l')  # logged, but killed before the next checkpoint
    trained(cache, broken, steps=3, details=1.0)
    a, b = (torch.load(folder / CHECKPOINT, weights_only=True) for folder in (whole, broken))
    for part in ("generator", "average", "pixel", "projected", "eyes", "mouth"):
        assert all(torch.equal(a[part][name], b[part][name]) for name in a[part])
    assert a["optimise_g"]["state"][0]["exp_avg"].equal(b["optimise_g"]["state"][0]["exp_avg"])
    assert read_card(file).steps == 3
    run_json = json.loads((broken / "run.json").read_text())
    assert [start["step"] for start in run_json["starts"]] == [0, 2]
    assert run_json["recipe"]["steps"] == 3
    assert run_json["data"]["faces"] == 12
    assert len(run_json["data"]["sha256"]) == 64
    assert run_json["versions"]["torch"] == torch.__version__
    assert {"machine", "precision", "threads", "workers"} <= set(run_json["starts"][0])
    rows = [json.loads(line) for line in (broken / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert {"l1", "critic_pixel", "steps_per_s", "waiting"} <= set(rows[0])
    assert [p.name for p in sorted((whole / "grids").iterdir())] == ["step-000002.png", "step-000003.png"]
    assert list((whole / "tensorboard").iterdir())
    assert store.metadata(file)["licence"] == "research only"
    assert "3 steps of 2" in file.with_suffix(".md").read_text()
    assert "samples/s" in capsys.readouterr().out
    with pytest.raises(RecipeError, match="trained with embedding = 16"):
        trained(cache, broken, steps=4, embedding=32, details=1.0)
    with pytest.raises(RecipeError, match="trained with details"):
        trained(cache, broken, steps=4)
    with pytest.raises(RecipeError, match="trained on other people"):
        trained(made_up_cache(tmp_path / "others", name="other"), broken, steps=4, details=1.0)


def test_a_run_starts_from_a_generator_and_its_critics(cache: Path, tmp_path: Path) -> None:
    first = trained(cache, tmp_path / "first", steps=1)
    second = trained(cache, tmp_path / "second", steps=1, init=str(first), learning_rate=1e-9)
    assert read_card(second).steps == 2
    third = trained(cache, tmp_path / "third", steps=1, init=str(first), learning_rate=1e-9, details=1.0)
    assert any(name.startswith("EyesDiscriminator.") for name in load_file(third.with_name("tiny.critics.safetensors")))
    a, b = (torch.load(tmp_path / f / CHECKPOINT, weights_only=True)["pixel"] for f in ("first", "third"))
    assert torch.allclose(
        a["layers.0.parametrizations.weight.original"], b["layers.0.parametrizations.weight.original"], atol=1e-3
    )


def test_losses_that_are_no_numbers_end_it_before_they_are_saved(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="lower learning_rate"):
        trained(cache, tmp_path / "run", steps=2, learning_rate=1e30, warmup=1)
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_too_little_data_is_said(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="12 training faces"):
        trained(cache, tmp_path / "run", batch=64)


def test_the_rate_rises_stays_and_falls_to_a_tenth() -> None:
    recipe = Recipe(steps=100, warmup=10, decay_from=0.5, learning_rate=1.0)
    assert learning_rate(recipe, 0) == pytest.approx(0.1)
    assert learning_rate(recipe, 30) == 1.0
    assert learning_rate(recipe, 75) == pytest.approx(0.55)
    assert learning_rate(recipe, 100) == pytest.approx(0.1)
