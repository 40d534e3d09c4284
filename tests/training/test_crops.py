from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dsanon_training import crops
from dsanon_training.crops import CANVAS, Pixels, open_crops

from dsanon.errors import RecipeError


def photo(number: int) -> crops._Photo:
    return crops._Photo(f"{number:03d}.jpg", f"lfw/{number // 4}", False, ())


def face(asked: crops._Photo) -> crops.Crop | None:
    """Every third photo has none."""
    number = int(asked.path[:3])
    if number % 3 == 2:
        return None
    pixels = np.full((CANVAS, CANVAS, 3), number, np.uint8)
    return pixels, np.full((68, 2), number, np.float32), np.full((4, 2), number, np.float32)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "_SHARD", 4)


def test_shards_keep_the_order_and_leave_out_who_has_no_face(tmp_path: Path) -> None:
    crops.make([photo(n) for n in range(10)], face, tmp_path / "c", 1)
    made = open_crops(tmp_path / "c")
    assert [int(made.pixels[i][0, 0, 0]) for i in range(len(made))] == [0, 1, 3, 4, 6, 7, 9]
    assert made.landmarks[:, 0, 0].tolist() == made.corners[:, 0, 0].tolist() == [0, 1, 3, 4, 6, 7, 9]
    assert made.labels == ["lfw/0", "lfw/0", "lfw/0", "lfw/1", "lfw/1", "lfw/1", "lfw/2"]
    assert len(list((tmp_path / "c").glob("pixels-*.npy"))) == 3


def test_a_kill_costs_one_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [photo(n) for n in range(10)]

    def killed(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crops.make(photos, face, tmp_path / "c", 1, killed)
    assert not (tmp_path / "c").exists()
    seen: list[int] = []
    crops.make(photos, face, tmp_path / "c", 1, lambda done, total: seen.append(done))
    assert seen == [5, 6, 7, 8, 9, 10]
    assert len(open_crops(tmp_path / "c")) == 7


def test_a_cache_of_one_file_is_read_as_it_is(tmp_path: Path) -> None:
    crops.make([photo(n) for n in range(4)], face, tmp_path / "c", 1)
    (tmp_path / "c" / "pixels-00000.npy").rename(tmp_path / "c" / "pixels.npy")
    index = (tmp_path / "c" / "index.json").read_text()
    (tmp_path / "c" / "index.json").write_text(index.replace(', "shards": ["pixels-00000.npy"]', ""))
    assert int(open_crops(tmp_path / "c").pixels[2][0, 0, 0]) == 3


def test_empty_shards_and_nobody_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "_SHARD", 1)
    crops.make([photo(n) for n in range(4)], face, tmp_path / "c", 1)
    assert [int(open_crops(tmp_path / "c").pixels[i][0, 0, 0]) for i in range(3)] == [0, 1, 3]
    with pytest.raises(RecipeError, match="no face or body was found in any of 1 photos"):
        crops.make([photo(2)], face, tmp_path / "d", 1)


def test_pixels_of_several_files_are_one_row(tmp_path: Path) -> None:
    for name, values in (("a", [1, 2]), ("b", [3])):
        np.save(tmp_path / f"{name}.npy", np.array(values, np.uint8))
    pixels = Pixels([tmp_path / "a.npy", tmp_path / "b.npy"])
    assert [int(pixels[i]) for i in range(len(pixels))] == [1, 2, 3]
