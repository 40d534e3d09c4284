"""Pages of the worst painted faces: the worst first, and nobody left out who was painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dsanon_eval.reproduce.bench import PAINTED, Bench, Look
from dsanon_eval.reproduce.worst_results import Critics, Judged, critics_file, judge, pages, sheet, worst
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.known_faces import celeba_samples
from dsanon_training.checkpoints import export, own_state
from dsanon_training.discriminators import PixelDiscriminator, ProjectedDiscriminator
from PIL import Image
from small_datasets import small_datasets

from dsanon.errors import RecipeError
from dsanon.models import store
from dsanon.plan import Control

WEIGHTS = store.SHIPPED / "ciagan-face.safetensors"


def test_the_worst_come_first_and_no_more_than_a_page() -> None:
    assert worst([0.5, np.nan, 0.1, 0.9]).tolist() == [2, 0, 3]
    assert len(worst(np.linspace(1, 0, 200))) == 64
    assert worst(np.linspace(1, 0, 200))[0] == 199


def test_a_sheet_has_rows_of_eight() -> None:
    page = sheet([np.full((4, 4, 3), i, np.uint8) for i in range(9)])
    assert page.shape == (8, 32, 3)
    assert page[5, 1, 0] == 8
    assert page[5, 30, 0] == 255


def test_pages_are_closed_to_others_and_there_is_none_without_critics(tmp_path: Path) -> None:
    crops = [Judged(0.1 * i, float("nan"), np.full((4, 4, 3), 9 - i, np.uint8)) for i in range(3)]
    made = pages(crops, tmp_path / "figures.json")
    assert [path.name for path in made] == ["figures.worst-by-detector.png"]
    assert made[0].stat().st_mode & 0o077 == 0
    assert np.asarray(Image.open(made[0]))[0, [0, 4, 8], 0].tolist() == [9, 8, 7]


def test_painted_faces_are_judged_by_detector_and_critics(tmp_path: Path) -> None:
    root = small_datasets(tmp_path / "data", celeba=((7500, 2), (7501, 2)), faceless=2) / "celeba"
    with Cache(None) as cache:
        bench = Bench(cache)
        faces = bench.find("celeba", root, celeba_samples(root, 2, 2))
        judged = judge(bench, [Look(face, PAINTED, WEIGHTS, Control((0,), (1.0,))) for face in faces])
    assert len(judged) == 1  # of the other nothing is painted
    assert judged[0].confidence > 0.5
    assert np.isfinite(judged[0].realism) == bool(critics_file(WEIGHTS))
    assert judged[0].crop.shape == (128, 128, 3)


def test_critics_speak_of_what_they_are_shown_and_other_files_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    from dsanon_training.backbones import MobileNetV2Features

    both = PixelDiscriminator(), ProjectedDiscriminator(MobileNetV2Features(store.path("mobilenet_v2")))
    weights = {name: t for critic in both for name, t in own_state(critic).items()}
    file = tmp_path / "x.critics.safetensors"
    export(file, weights, {"kind": "critics"})
    assert critics_file(tmp_path / "x.safetensors") == file
    critics = Critics(file)
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 255, (2, 128, 128, 3), dtype=np.uint8)
    drawn = np.zeros_like(one)
    assert critics(one, drawn) == critics(one, drawn) != critics(other, drawn)
    with pytest.raises(RecipeError, match="other tensors than PixelDiscriminator"):
        Critics(WEIGHTS)
