"""Identities that are nobody: far from everybody, and yet what everybody is a mix of."""

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
from dsanon_training.strangers import Strangers, drawn
from dsanon_training.teacher import Teacher
from made_up_crops import made_up_cache
from torch import Tensor

from dsanon.errors import RecipeError
from dsanon.models.weights import read_card

WHO = np.repeat(np.arange(60), 3)


def people() -> np.ndarray:
    """(60, 16): what a teacher sees in 60 people."""
    x = np.random.default_rng(0).normal(size=(60, 16))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def photos(noise: float = 0.1) -> np.ndarray:
    """(180, 16): and in three photos of each."""
    x = people().repeat(3, 0) + np.random.default_rng(1).normal(size=(180, 16)) * noise
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class Seen(Teacher):
    """Sees eight random colours of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(3 * 16, 8, generator=torch.Generator().manual_seed(0)))

    def look(self, pixels: Tensor, batch: Batch, jitter: np.random.Generator | None = None) -> Tensor:
        assert len(pixels) == len(batch.points)
        return F.normalize(F.adaptive_avg_pool2d(pixels, 4).flatten(1) @ self.weight, dim=1)


def test_nobody_is_as_near_to_anybody_as_people_are_to_one_another() -> None:
    vectors = drawn(photos(), WHO, 20, 0)
    assert vectors.shape == (20, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    means = photos().reshape(60, 3, 16).mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    near = np.median((means @ means.T - 2 * np.eye(60)).max(axis=1))
    assert (vectors @ means.T).max() <= near
    assert (vectors @ vectors.T - 2 * np.eye(20)).max() <= near
    assert np.array_equal(vectors, drawn(photos(), WHO, 20, 0))
    assert not np.array_equal(vectors, drawn(photos(), WHO, 20, 1))


def test_strangers_differ_in_what_people_differ_in_and_not_in_what_their_photos_do() -> None:
    """Here people differ in all directions but the last, photos in that one only, as by blur: none is blurred."""
    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(size=(300, 15)), np.zeros((300, 1))]).repeat(3, 0)
    x[:, 15] = rng.normal(size=900) * 2
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    vectors = drawn(x, np.repeat(np.arange(300), 3), 40, 0)
    means = x.reshape(300, 3, 16).mean(axis=1)
    assert np.abs(vectors[:, 15]).mean() < np.abs(means[:, 15]).mean() / 2
    assert np.abs(vectors[:, :15]).mean() == pytest.approx(np.abs(means[:, :15]).mean(), rel=0.2)


def test_too_few_people_are_no_distribution() -> None:
    with pytest.raises(RecipeError, match="2 people are too few"):
        drawn(photos()[:6], WHO[:6], 4, 0)


def test_somebody_is_the_mix_whose_prototypes_sum_up_to_them() -> None:
    seen = torch.from_numpy(people()).float()
    strangers = Strangers(torch.from_numpy(drawn(photos(), WHO, 40, 0)).float(), seen)
    mixes = strangers.mix(seen)
    assert mixes.shape == (60, 40)
    assert F.cosine_similarity(mixes @ strangers.prototypes, seen).min() > 0.98
    assert mixes.square().sum(1).max() < 2  # no mix of large and opposite shares


def test_the_source_itself_is_told_by_who_it_is_and_all_others_by_the_batch(tmp_path: Path) -> None:
    crops = open_crops(made_up_cache(tmp_path / "crops"))
    recipe = Recipe(batch=8, strangers=5, own_share=0.5)
    everybody = People(crops, 99, recipe.strangers)
    assert everybody.person.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [-1] * 2
    samples = batch(crops, everybody, recipe, 0)
    assert 0 < samples.own.sum() < 8
    assert (samples.control[samples.own] == 0).all()
    strangers = Strangers(F.normalize(torch.randn(5, 8), dim=1), F.normalize(torch.randn(3, 8), dim=1))
    told = strangers.told(samples)
    assert torch.equal(told.control[~samples.own], samples.control[~samples.own])
    assert torch.equal(told.control[samples.own], strangers.mix(strangers.people)[samples.person[samples.own]])
    assert set(strangers.state_dict()) == {
        "prototypes",
        "painted",
    }  # no file holds what the teacher sees in real people


def test_the_target_is_half_way_to_what_is_painted_and_mixes_do_not_move_it() -> None:
    prototypes = torch.eye(3, 4)
    strangers, engine = Strangers(prototypes, torch.eye(4)), Engine(torch.device("cpu"), torch.float32)
    assert torch.equal(strangers.targets(), prototypes)
    seen = torch.eye(4)[3].expand(2, 4)
    control = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    for _ in range(50):
        strangers.follow([seen, seen], control, engine)
    strangers.follow([], control[:0], engine)
    half = torch.tensor([0, 0.5**0.5, 0, 0.5**0.5])
    assert torch.allclose(strangers.targets(), torch.stack([prototypes[0], half, prototypes[2]]), atol=1e-3)


def test_a_code_is_of_what_the_teacher_would_see_and_of_nothing_else() -> None:
    """Nine vectors in four dimensions: two mixes with the same sum of prototypes have the same code."""
    prototypes = F.normalize(torch.randn(9, 4), dim=1)
    strangers, weight = Strangers(prototypes, prototypes[:1]), torch.randn(6, 9)
    one = torch.eye(9)[0]
    other = one + torch.linalg.svd(prototypes.T).Vh[-1]
    assert torch.allclose(one @ prototypes, other @ prototypes, atol=1e-5)
    assert not torch.allclose(weight @ one, weight @ other, atol=0.1)
    seen = (weight @ prototypes).clone()
    strangers.confine(weight)
    assert torch.allclose(weight @ one, weight @ other, atol=1e-4)
    assert torch.allclose(weight @ prototypes, seen, atol=1e-4)


def test_a_run_keeps_its_strangers_and_hands_them_on_and_its_file_tells_who_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ciagan, "_teacher", lambda _: Seen())
    prototypes = F.normalize(torch.randn(12, 8), dim=1).numpy()  # three people are too few to draw others from
    monkeypatch.setattr(ciagan, "drawn", lambda *_: prototypes)
    cache = made_up_cache(tmp_path / "crops")
    tiny = {"widths": [8, 8, 8, 8, 8], "embedding": 16, "batch": 4, "precision": "fp32", "loaders": 0, "strangers": 12}
    tiny |= {"teacher_from": 0, "teacher_full": 1, "name": "tiny", "grid_every": 99, "save_every": 1, "decay_from": 1.0}

    def trained(out: str, steps: int, **settings: object) -> Path:
        recipe = validate({**tiny, "steps": steps, **settings})
        return run(recipe, cache, tmp_path / out, engine_for(recipe, torch.device("cpu")), Report())

    file = trained("whole", 2)
    trained("broken", 1)
    monkeypatch.setattr(ciagan, "drawn", lambda *_: -prototypes)  # what another machine might draw
    trained("broken", 2)
    trained("other", 1, init=str(file))
    whole, broken, other = (
        torch.load(tmp_path / name / CHECKPOINT, weights_only=True) for name in ("whole", "broken", "other")
    )
    for part in ("generator", "strangers"):
        assert all(torch.equal(whole[part][name], broken[part][name]) for name in whole[part])
    own = torch.from_numpy(-prototypes)  # for all that it starts from another run's generator
    assert torch.equal(other["strangers"]["prototypes"], own)
    beyond = torch.linalg.svd(whole["strangers"]["prototypes"].T).Vh[8:]  # told of no real photo
    assert (whole["generator"]["identity.weight"] @ beyond.T).abs().max() < 1e-4
    card = read_card(file)
    assert len(card.identities) == card.config.identities == 12
    assert len(card.people) == 3
    assert not set(card.identities) & set(card.people)
    with pytest.raises(RecipeError, match="trained with strangers = 12"):
        trained("broken", 3, strangers=4)


def test_strangers_need_a_teacher() -> None:
    with pytest.raises(RecipeError, match="strangers"):
        validate({"strangers": 4, "identity": 0.0, "away": 0.0})


def test_who_starts_from_another_generator_paints_the_same_for_what_the_teacher_sees() -> None:
    """The file's prototypes and codes are not taken over, but what a code means is."""
    old, new = (F.normalize(torch.randn(9, 4), dim=1) for _ in range(2))
    weight = torch.randn(6, 9)
    Strangers(old, old[:1]).confine(weight)
    codes = Strangers(new, old[:1]).translated(weight, old)
    assert codes.shape == (6, 9)
    somebody = F.normalize(torch.randn(1, 4), dim=1)
    before, after = (s @ torch.linalg.pinv(s.T @ s) @ somebody.T for s in (old, new))
    assert torch.allclose(weight @ before, codes @ after, atol=1e-4)
