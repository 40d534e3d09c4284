"""The auditor's training: who may teach it, what a run leaves, and that it learns."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from dsanon_training import crops
from dsanon_training.batches import People, batch
from dsanon_training.crops import open_crops, prepare
from dsanon_training.embedder import load_embedder, read_card
from dsanon_training.engine import Engine, engine_for
from dsanon_training.exclusions import check_auditor_set
from dsanon_training.families import open_family
from dsanon_training.grids import look
from dsanon_training.loop import CHECKPOINT, run
from dsanon_training.recipe import load_recipe
from dsanon_training.report import Report
from made_up_crops import IDENTITIES, made_up_cache
from PIL import Image

from dsanon.errors import RecipeError, WeightsError
from dsanon.models import store

CPU = torch.device("cpu")
TINY = ["batch=4", "precision=fp32", "loaders=0", "log_every=1", "grid_every=2", "save_every=2", "warmup=1"]


def data(root: Path) -> Path:
    """LFW: Ann and Bob of pairs.txt, she with two photos, and Cid. CelebA: a person of each of the three partitions."""
    for name, count in (("Ann", 2), ("Bob", 1), ("Cid", 2)):
        folder = root / "lfw" / "lfw-deepfunneled" / name
        folder.mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8)).save(folder / f"{name}_{i + 1:04d}.jpg")
    (root / "lfw" / "pairs.txt").write_text("1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n")
    images = root / "celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    for i in (1, 2, 3):
        Image.new("RGB", (178, 218)).save(images / f"{i:06d}.jpg")
    (root / "celeba" / "identity_CelebA.txt").write_text("000001.jpg 1\n000002.jpg 2\n000003.jpg 3\n")
    (root / "celeba" / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    return root


def found(photo: crops._Photo) -> crops.Crop:
    side = crops.CANVAS
    return np.zeros((side, side, 3), np.uint8), np.zeros((68, 2), np.float32), np.zeros((4, 2), np.float32)


def test_an_auditor_and_a_generator_have_nobody_in_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "_face", found)
    root = data(tmp_path / "data")
    auditors = open_crops(prepare(root, tmp_path, 1, auditor=True))
    generators = open_crops(prepare(root, tmp_path, 1))
    by_use = {
        (name, held): {label for label, h in zip(made.labels, made.held_out, strict=True) if h == held}
        for name, made in (("auditor", auditors), ("generator", generators))
        for held in (False, True)
    }
    assert by_use == {
        ("auditor", False): {"lfw/Ann", "celeba/2"},
        ("auditor", True): {"celeba/3"},
        ("generator", False): {"lfw/Cid", "celeba/1"},
        ("generator", True): {"celeba/2"},
    }
    with pytest.raises(RecipeError, match="1 people of the auditor's training set train generators"):
        check_auditor_set(["lfw/Ann", "lfw/Cid"], frozenset({"lfw/Cid"}))


def test_it_learns_who_is_who(tmp_path: Path) -> None:
    made = open_crops(made_up_cache(tmp_path / "crops"))
    recipe = load_recipe("pnca", [*TINY, "batch=12"])
    people = People(made, 1)
    torch.manual_seed(0)
    family = open_family(recipe, Engine(CPU, torch.float32), made, people)
    drawn = batch(made, people, recipe, 0).to(CPU)
    losses = [float(family.step(drawn, step)["nca"]) for step in range(16)]
    assert losses[-1] < losses[0] - 2
    embedded, proxies = family.generator(drawn.real), family.networks["proxies"].weight
    named = (embedded @ torch.nn.functional.normalize(proxies).T).argmax(1)
    assert (named == drawn.control.argmax(1)).float().mean() > 0.8


def test_a_resumed_run_is_the_unbroken_one_and_its_file_says_whom_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    cache = made_up_cache(tmp_path / "crops")

    def trained(out: str, steps: int) -> Path:
        recipe = load_recipe("pnca", [*TINY, f"steps={steps}", "decay_from=1.0"])
        return run(recipe, cache, tmp_path / out, engine_for(recipe, CPU), Report())

    file = trained("whole", 3)
    trained("broken", 2)
    trained("broken", 3)
    a, b = (torch.load(tmp_path / out / CHECKPOINT, weights_only=True) for out in ("whole", "broken"))
    for part in ("generator", "average", "proxies"):
        assert all(torch.equal(a[part][name], b[part][name]) for name in a[part])
    card = read_card(file)
    assert card.identities == {hashlib.sha256(f"lfw/{i}".encode()).hexdigest()[:16] for i in range(IDENTITIES)}
    assert (card.config.identities, card.config.length, card.steps) == (IDENTITIES, 256, 3)
    embedder = load_embedder(file)
    assert torch.allclose(embedder(torch.zeros(2, 3, 128, 128)).norm(dim=1), torch.ones(2), atol=1e-4)
    assert store.add("pnca", file) == store.path("pnca")
    assert store.metadata(file)["licence"] == "research only"
    page = file.with_suffix(".md").read_text()
    assert "12 aligned faces of 3 people" in page
    assert "partition and of the people of LFW's pairs.txt" in page


def test_a_grid_shows_photos_and_their_nearest(tmp_path: Path) -> None:
    made = open_crops(made_up_cache(tmp_path / "crops"))
    recipe = load_recipe("pnca", TINY)
    people = People(made, 1)
    family = open_family(recipe, Engine(CPU, torch.float32), made, people)
    drawn = batch(made, people, recipe, 0).to(CPU)
    twice = type(drawn)(**{n: getattr(drawn, n) for n in drawn.__slots__} | {"real": drawn.real[[0, 1, 0, 1]]})
    shown = look(family.average, twice, [])
    assert shown.shape == (4 * 128, 4 * 128, 3)
    assert np.array_equal(shown[:128, :128], shown[:128, 128:256])  # the same photo is the nearest


@pytest.mark.parametrize("setting", ["own_share=0.5", "min_photos=5"])
def test_every_photo_must_be_somebodys(setting: str, tmp_path: Path) -> None:
    made = open_crops(made_up_cache(tmp_path / "crops"))
    recipe = load_recipe("pnca", [*TINY, setting])
    with pytest.raises(RecipeError, match="own_share = 1 and min_photos = 1"):
        open_family(recipe, Engine(CPU, torch.float32), made, People(made, recipe.min_photos))


def test_another_file_is_no_recogniser() -> None:
    with pytest.raises(WeightsError, match="is no recogniser of this program"):
        load_embedder(store.SHIPPED / "ciagan-face.safetensors")
