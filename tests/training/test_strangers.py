"""Identities that are nobody: what a group of people have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from dsanon_training.batches import Batch, People, batch
from dsanon_training.crops import open_crops
from dsanon_training.engine import Engine, engine_for
from dsanon_training.families import ciagan
from dsanon_training.loop import CHECKPOINT, run
from dsanon_training.recipe import Recipe, validate
from dsanon_training.report import Report
from dsanon_training.strangers import Strangers, grouped
from dsanon_training.teacher import Teacher
from made_up_crops import made_up_cache
from torch import Tensor

from dsanon.errors import RecipeError
from dsanon.models.weights import read_card


def people() -> np.ndarray:
    """(60, 16): what a teacher sees in 60 people."""
    x = np.random.default_rng(0).normal(size=(60, 16))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class Seen(Teacher):
    """Sees eight random colours of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(3 * 16, 8, generator=torch.Generator().manual_seed(0)))

    def look(self, pixels: Tensor, batch: Batch, jitter: np.random.Generator | None = None) -> Tensor:
        assert len(pixels) == len(batch.points)
        return F.normalize(F.adaptive_avg_pool2d(pixels, 4).flatten(1) @ self.weight, dim=1)


def test_groups_are_of_one_size_and_of_people_who_look_alike() -> None:
    x = people()
    group = grouped(x, 7)
    assert sorted(np.bincount(group)) == [8, 8, 8, 9, 9, 9, 9]
    assert np.array_equal(group, grouped(x, 7))
    alike = x @ x.T
    together = (group[:, None] == group) & ~np.eye(60, dtype=bool)
    assert alike[together].mean() > alike[group[:, None] != group].mean() + 0.15


def test_too_few_people_make_no_group() -> None:
    with pytest.raises(RecipeError, match=r"60 people are fewer than 8 for each.*choose at most 7"):
        grouped(people(), 8)


def test_whoever_has_many_photos_does_not_stand_for_the_group(tmp_path: Path) -> None:
    crops = open_crops(made_up_cache(tmp_path / "crops"))
    everybody = People(crops, 99, 5)
    assert everybody.odds == pytest.approx(0.5)  # four photos of each
    assert People(crops, 99).odds.tolist() == [1] * 12
    everybody.odds[everybody.person[everybody.training] == 0] = 1e-9
    samples = [batch(crops, everybody, Recipe(batch=4, strangers=5, turned_share=0.0), step) for step in range(4)]
    assert not any((sample.person == 0).any() for sample in samples)


def test_the_source_itself_is_told_by_who_it_is_and_all_others_by_the_batch(tmp_path: Path) -> None:
    crops = open_crops(made_up_cache(tmp_path / "crops"))
    recipe = Recipe(batch=8, strangers=5, own_share=0.5)
    everybody = People(crops, 99, recipe.strangers)
    assert everybody.person.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [-1] * 2
    samples = batch(crops, everybody, recipe, 0)
    assert 0 < samples.own.sum() < 8
    assert (samples.control[samples.own] == 0).all()
    strangers = Strangers(F.normalize(torch.randn(3, 8), dim=1), torch.tensor([1, 4, 1]))
    told = strangers.told(samples)
    assert torch.equal(told.control[~samples.own], samples.control[~samples.own])
    assert torch.equal(told.control[samples.own], torch.eye(5)[[1, 4, 1]][samples.person[samples.own]])
    assert set(strangers.state_dict()) == {
        "prototypes",
        "painted",
        "group",
    }  # no file holds what the teacher sees in real people


def test_the_target_is_half_way_to_what_is_painted_and_mixes_do_not_move_it() -> None:
    prototypes = torch.eye(3, 4)
    strangers = Strangers(torch.eye(4)[[0, 1, 2, 0]], torch.tensor([0, 1, 2, 0]))
    engine = Engine(torch.device("cpu"), torch.float32)
    assert torch.equal(strangers.targets(), prototypes)
    seen = torch.eye(4)[3].expand(2, 4)
    control = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    for _ in range(50):
        strangers.follow([seen, seen], control, engine)
    strangers.follow([], control[:0], engine)
    half = torch.tensor([0, 0.5**0.5, 0, 0.5**0.5])
    assert torch.allclose(strangers.targets(), torch.stack([prototypes[0], half, prototypes[2]]), atol=1e-3)


def test_a_code_stays_with_what_the_teacher_sees() -> None:
    strangers = Strangers(torch.eye(3), torch.tensor([2, 0, 1]))
    codes = torch.randn(5, 3)
    assert torch.allclose(strangers.translated(codes, strangers.prototypes), codes, atol=1e-5)
    assert torch.equal(strangers.translated(codes, strangers.prototypes.half().float()), codes)  # a file's are rounded
    assert torch.allclose(strangers.translated(codes, torch.eye(3)), codes[:, [1, 2, 0]], atol=1e-5)


def test_a_run_keeps_its_strangers_and_hands_them_on_and_its_file_tells_who_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ciagan, "_teacher", lambda _: Seen())
    monkeypatch.setattr(ciagan, "grouped", lambda *_: np.array([0, 1, 11]))  # three people are too few
    cache = made_up_cache(tmp_path / "crops")
    tiny = {"widths": [8, 8, 8, 8, 8], "embedding": 16, "batch": 4, "precision": "fp32", "loaders": 0, "strangers": 12}
    tiny |= {"teacher_from": 0, "teacher_full": 1, "name": "tiny", "grid_every": 99, "save_every": 1, "decay_from": 1.0}

    def trained(out: str, steps: int, **settings: object) -> Path:
        recipe = validate({**tiny, "steps": steps, **settings})
        return run(recipe, cache, tmp_path / out, engine_for(recipe, torch.device("cpu")), Report())

    file = trained("whole", 2)
    trained("broken", 1)
    monkeypatch.setattr(ciagan, "grouped", lambda *_: np.array([11, 1, 0]))  # what another machine might find
    trained("broken", 2)
    trained("other", 1, init=str(file))
    whole, broken, other = (
        torch.load(tmp_path / name / CHECKPOINT, weights_only=True) for name in ("whole", "broken", "other")
    )
    for part in ("generator", "strangers"):
        assert all(torch.equal(whole[part][name], broken[part][name]) for name in whole[part])
    assert other["strangers"]["group"].tolist() == [11, 1, 0]  # for all that it starts from another run's generator
    card = read_card(file)
    assert len(card.identities) == card.config.identities == 12
    assert (len(card.people), card.groups) == (3, (0, 1, 11))
    assert read_card(tmp_path / "other" / "tiny.safetensors").groups == (11, 1, 0)
    assert not set(card.identities) & set(card.people)
    with pytest.raises(RecipeError, match="trained with strangers = 12"):
        trained("broken", 3, strangers=4)


def test_strangers_need_a_teacher() -> None:
    with pytest.raises(RecipeError, match="strangers"):
        validate({"strangers": 4, "identity": 0.0, "away": 0.0})
