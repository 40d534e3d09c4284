"""Bodies for training: who is taken, who is held out, and what a network may see of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from dsanon_training import crops as cache
from dsanon_training.batches import Batch, People, batch, plain
from dsanon_training.body_crops import instances, prepare_bodies
from dsanon_training.crops import Crops, open_crops
from dsanon_training.engine import Engine, pick_precision
from dsanon_training.families import open_family
from dsanon_training.grids import grid
from dsanon_training.recipe import load_recipe, validate
from PIL import Image

from dsanon.align import PAD
from dsanon.bodies import inside
from dsanon.errors import RecipeError

H, W, PHOTOS = 120, 90, 6
CPU = torch.device("cpu")


def silhouette(number: int) -> np.ndarray:
    """Somebody who stands at the left edge, so that the crop reaches over it."""
    mask = np.zeros((H, W), np.uint8)
    cv2.ellipse(mask, (14 + number, 60), (14, 50), 0, 0, 360, 1, -1)
    return mask > 0


def folder(root: Path, inside: int = 1) -> Path:
    """A COCO folder of noise, one person a photo; ``inside`` seeds the noise that is the people."""
    annotations, images = [], []
    for number in range(PHOTOS):
        split = "val2017" if number == 5 else "train2017"
        name = f"{number + 1:012d}.png"
        around, people = (
            np.random.default_rng((seed, number)).integers(0, 256, (H, W, 3), np.uint8) for seed in (0, inside)
        )
        mask = silhouette(number)
        (root / "street" / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(mask[..., None], people, around)).save(root / "street" / split / name)
        outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        polygon = outline[0].reshape(-1).astype(float).tolist()
        person = {"id": number + 1, "image_id": number + 1, "category_id": 1, "iscrowd": 0, "area": 1.0}
        annotations.append((split, {**person, "segmentation": [polygon], "bbox": [number, 10, 29, 101]}))
        if number == 0:
            tiny = {"id": 90, "segmentation": [[80.0, 5, 86, 5, 86, 20, 80, 20]], "bbox": [80, 5, 6, 15]}
            crowd = {"id": 91, "iscrowd": 1, "segmentation": [polygon], "bbox": [0, 10, 29, 101]}
            annotations += [(split, {**person, **other}) for other in (tiny, crowd)]
            annotations.append((split, {**person, "id": 92, "bbox": [40, 10, 29, 101]}))
        images.append((split, {"id": number + 1, "file_name": name, "width": W, "height": H}))
    (root / "street" / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        content = {"images": [i for s, i in images if s == split], "categories": [{"id": 1, "name": "person"}]}
        content["annotations"] = [a for s, a in annotations if s == split]
        (root / "street" / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def opened(data: Path) -> Crops:
    return open_crops(prepare_bodies(data, data.parent / f"cache-{data.name}", 1))


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return opened(folder(tmp_path_factory.mktemp("bodies") / "data"))


def test_everybody_whole_with_a_silhouette_is_taken_and_validation_images_are_held_out(crops: Crops) -> None:
    assert len(crops) == PHOTOS  # neither a crowd, nor a box, nor somebody smaller than a third of the crop
    assert crops.bodies
    assert crops.size == (128, 64)
    assert len(set(crops.labels)) == PHOTOS
    held = {label for label, out in zip(crops.labels, crops.held_out, strict=True) if out}
    assert any("val2017" in label for label in held)
    assert len(held) < PHOTOS - 1
    people = People(crops, 1)
    assert len(people.identities) == PHOTOS - len(held)
    assert not people.turned.any()


def test_whole_sequences_are_held_out_and_every_fifth_frame_trains(shared: Path) -> None:
    found = [i for i in instances(shared / "data") if i.label.startswith("mots/")]
    sides = {(i.label, i.held_out) for i in found}
    assert len(sides) == len({label for label, _ in sides}) == 3
    assert len(found) == 30


def test_without_silhouettes_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="neither a COCO folder nor mots/ with silhouettes"):
        prepare_bodies(tmp_path, tmp_path / "cache", 1)
    with pytest.raises(RecipeError, match="only ciagan paints bodies"):
        validate({"subject": "body", "family": "siamese"})


def seen(drawn: Batch) -> torch.Tensor:
    """All that a network is shown of the photos."""
    return drawn.real * (1 - drawn.hidden) * (1 - drawn.padding)


def test_no_pixel_of_a_body_is_in_the_networks_input_not_even_mirrored(tmp_path: Path) -> None:
    one, two = (opened(folder(tmp_path / name, seed)) for name, seed in (("one", 1), ("two", 2)))
    everybody = np.arange(PHOTOS)
    a, b = plain(one, everybody).to(CPU), plain(two, everybody).to(CPU)
    assert not torch.equal(a.real, b.real)
    assert torch.equal(seen(a), seen(b))
    assert torch.equal(a.drawn, b.drawn)
    people = People(one, 1)
    recipe = load_recipe("ciagan-body", ["batch=4"])
    for step in range(4):
        first, second = (batch(crops, people, recipe, step).to(CPU) for crops in (one, two))
        assert float((seen(first) - seen(second)).abs().mean()) < 1e-4  # an outline is told to a pixel
        padding = first.padding.bool().expand_as(first.real)
        assert padding.any()
        assert torch.equal(((first.real[padding] + 1) * 127.5).round().unique(), torch.tensor([float(PAD)]))
        assert (first.hidden[first.drawn[:, :1] > 0.5] == 1).all()
        share = np.stack([inside(drawn > 0.5) for drawn in first.drawn[:, 0].numpy()])
        away = np.abs(first.weight[:, 0].numpy() - share)
        assert away.max() <= 0.5 / 255 + 1e-6  # as in a release: a painted body ends at its outline
        assert (share.max(axis=(1, 2)) > 0.999).all()
        assert (first.hidden[first.weight > 0] == 1).all()


def test_a_step_trains_generator_and_critics_and_a_grid_shows_bodies(crops: Crops) -> None:
    recipe = load_recipe(
        "ciagan-body", ["batch=2", "widths=[8, 8, 8, 8, 8]", "own_share=0.0", "teacher_from=0", "teacher_full=0"]
    )
    people = People(crops, 1)
    family = open_family(recipe, Engine(CPU, pick_precision("auto", CPU)), crops, people)
    assert family.generator.config.architecture == "ciagan-body"
    drawn = batch(crops, people, recipe, 0).to(CPU)
    before = {n: [p.detach().clone() for p in m.parameters()] for n, m in (("generator", family.generator),)}
    terms = family.step(drawn, 1)
    assert {"identity", "away", "critic_pixel", "critic_projected", "l1"} <= set(terms)
    assert all(torch.isfinite(value) for value in terms.values())
    moved = [not torch.equal(a, b) for a, b in zip(before["generator"], family.generator.parameters(), strict=True)]
    assert sum(moved) > 0.8 * len(moved)
    assert grid(family.average, plain(crops, np.arange(2)).to(CPU), [(0,), (0, 1)]).shape == (2 * 128, 4 * 64, 3)


def test_a_cache_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder(tmp_path / "data")
    first = prepare_bodies(data, tmp_path / "cache", 1)
    monkeypatch.setattr(cache, "make", None)
    assert prepare_bodies(data, tmp_path / "cache", 1) == first
