"""The teacher of bodies, on made-up people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dsanon_training.checkpoints import export
from dsanon_training.person_teacher import TERMS, PersonTeacher, read_people, recall_at_1, train
from PIL import Image
from torch import Tensor, nn

from dsanon.errors import RecipeError
from dsanon.models import store


class Colour(nn.Module):
    """An embedding that is known: the mean colour."""

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.normalize(pixels.mean((2, 3)), dim=1)


def test_recall_is_the_share_of_one_cameras_photos_found_by_the_other() -> None:
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0.1]])
    pixels = colours[:, :, None, None].expand(-1, -1, 4, 2)
    identity, camera = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    assert recall_at_1(Colour(), pixels, identity, camera) == (1.0, 3)
    assert recall_at_1(Colour(), pixels, np.array([0, 1, 2, 0, 2, 1]), camera) == (pytest.approx(1 / 3), 3)


def test_photos_are_read_by_their_names_and_others_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected CUHK03's crops"):
        read_people(tmp_path)
    for name, value in (("0003_00", 0), ("0003_05", 255), ("0080_04", 51)):
        Image.fromarray(np.full((128, 64, 3), value, np.uint8)).save(tmp_path / f"{name}.jpg")
    pixels, identity, camera = read_people(tmp_path)
    assert pixels[:, 0, 9, 9].tolist() == pytest.approx([-1, 1, -0.6], abs=0.01)
    assert identity.tolist() == [3, 3, 80]
    assert camera.tolist() == [0, 1, 0]
    Image.new("RGB", (70, 128)).save(tmp_path / "0004_00.jpg")
    with pytest.raises(RecipeError, match=r"0004_00\.jpg is not of 64 × 128 pixels"):
        read_people(tmp_path)


def test_all_of_it_learns_and_it_looks_at_nothing_around_them(tmp_path: Path) -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (8, 3, 128, 64))).float()
    fresh, network = (train(pixels, np.arange(8) % 4, steps) for steps in (0, 2))
    moved = [not torch.equal(a, b) for a, b in zip(fresh.parameters(), network.parameters(), strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    with torch.no_grad():
        assert torch.allclose(network(pixels).norm(dim=1), torch.ones(8), atol=1e-4)
    export(tmp_path / "t.safetensors", network.state_dict(), {"kind": "recogniser", "steps": 2}, TERMS)
    teacher = PersonTeacher(tmp_path / "t.safetensors")
    assert not any(p.requires_grad for p in teacher.parameters())

    class Shown:
        weight = torch.zeros(8, 1, 128, 64)

    Shown.weight[:, :, 30:100, 20:44] = 1
    one = teacher.look(pixels, Shown)  # type: ignore[arg-type]
    elsewhere = torch.where(Shown.weight > 0, pixels, torch.randn_like(pixels))
    assert torch.equal(one, teacher.look(elsewhere, Shown))  # type: ignore[arg-type]
    assert not torch.equal(one, teacher.look(pixels, Shown, np.random.default_rng(1)))  # type: ignore[arg-type]


def test_the_one_that_ships_is_listed_as_what_it_is() -> None:
    (row,) = [row for row in store.describe() if row["name"] == "person-teacher"]
    assert (row["kind"], row["usable"], row["source"]) == ("recogniser", True, "shipped")
    assert "may not audit" in row["terms"]
