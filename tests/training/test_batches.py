from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from dsanon_training.batches import Batch, People, batch, plain, stream
from dsanon_training.crops import Crops, open_crops
from dsanon_training.engine import Engine
from dsanon_training.recipe import Recipe
from made_up_crops import made_up_cache

RECIPE = Recipe(batch=4, steps=5, min_photos=2, own_share=0.5, loaders=0)
HERE = Engine(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return open_crops(made_up_cache(tmp_path_factory.mktemp("cache") / "crops"))


def equal(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(np.asarray(getattr(a, f.name)), np.asarray(getattr(b, f.name))) for f in fields(Batch))


def test_a_batch_is_a_function_of_seed_step_and_rank(crops: Crops) -> None:
    people = People(crops, 2)
    first = batch(crops, people, RECIPE, 3, 1, 2)
    assert len(first.real) == 2
    assert equal(first, batch(crops, people, RECIPE, 3, 1, 2))
    for step, rank in ((2, 1), (3, 0)):
        assert not equal(first, batch(crops, people, RECIPE, step, rank, 2))


def test_partners_show_the_target_and_never_the_source_and_change_nothing_else(crops: Crops) -> None:
    people = People(crops, 2)
    bare = batch(crops, people, RECIPE, 0)
    full = batch(crops, people, RECIPE, 0, partners=True)
    assert bare.partners.shape == (4, 0, 3, 128, 128)
    assert full.partners.shape == (4, 2, 3, 128, 128)
    assert torch.equal(bare.real, full.real)
    assert torch.equal(bare.control, full.control)
    assert not torch.equal(full.partners[:, 0], full.partners[:, 1])
    assert [sorted(people.identity[photos]) for photos in people.photos] == [[i] * 4 for i in range(3)]


def test_who_is_held_out_is_only_looked_at(crops: Crops) -> None:
    people = People(crops, 2)
    assert people.identities == ["lfw/0", "lfw/1", "lfw/2"]
    assert crops.held_out[people.unseen].all()
    assert not crops.held_out[people.training].any()
    assert plain(crops, people.unseen).control.shape == (2, 0)


def test_faces_turned_aside_are_drawn_as_often_as_asked_for(crops: Crops) -> None:
    landmarks = crops.landmarks.copy()
    landmarks[[5, 7], 30, 0] += 12  # the tips of two noses
    people = People(replace(crops, landmarks=landmarks), 2)
    assert people.training[people.turned].tolist() == [5, 7]
    for share in (0.0, 1.0):
        recipe = replace(RECIPE, batch=1, turned_share=share)
        drawn = [batch(replace(crops, landmarks=landmarks), people, recipe, step) for step in range(30)]
        shown = [_aside(b.points[0]) > 0.1 for b in drawn]
        assert all(shown) if share else not any(shown)


def _aside(points: np.ndarray) -> float:
    return float(abs(2 * (points[30, 0] - points[0, 0]) / (points[16, 0] - points[0, 0]) - 1))


def test_the_stream_goes_on_in_the_middle(crops: Crops) -> None:
    people = People(crops, 2)
    whole = list(stream(crops, people, RECIPE, 0, HERE, False))
    assert len(whole) == RECIPE.steps
    assert all(map(equal, whole[3:], stream(crops, people, RECIPE, 3, HERE, False)))


def test_processes_bring_the_same_batches(crops: Crops) -> None:
    people = People(crops, 2)
    by_process = Recipe(**{**RECIPE.as_dict(), "loaders": 1})
    ours = batch(crops, people, RECIPE, 4, partners=True)
    assert all(map(equal, stream(crops, people, by_process, 4, HERE, True), [ours]))


def test_pictures_travel_as_bytes_and_arrive_as_numbers(crops: Crops) -> None:
    made = batch(crops, People(crops, 2), RECIPE, 1, partners=True)
    there = made.to(torch.device("cpu"))
    scales = {"real": 127.5, "partners": 127.5, "drawn": 255, "hidden": 1, "padding": 1, "weight": 255}
    for name, scale in scales.items():
        sent, arrived = getattr(made, name), getattr(there, name)
        assert (sent.dtype, arrived.dtype) == (torch.uint8, torch.float32)
        assert torch.allclose(arrived, sent / scale - float(scale == 127.5), atol=1e-6)
        assert (-1 if scale == 127.5 else 0) <= arrived.min() < 0.5 < arrived.max() <= 1
