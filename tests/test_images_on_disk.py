"""A photo is read from a regular file below the source, or the reason names no file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from drawn_images import png, smooth, stored
from PIL import Image

from dsanon import images
from dsanon.images import read_photo, safe_path
from dsanon.sample import Person, Photo, Sample, Unreadable


def photo(root: Path, file: str, **more: Any) -> Photo | Unreadable:
    return read_photo(root, Sample(file, file, **more))


def test_read_photo(tmp_path: Path) -> None:
    data = stored(Image.fromarray(smooth()), "PNG")
    (tmp_path / "a.jpg").write_bytes(data)  # named for another format
    found = photo(tmp_path, "a.jpg", size=(64, 48))
    assert isinstance(found, Photo)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.encoding.format == "PNG"
    found.pixels[0, 0] = 0  # may be painted on


@pytest.mark.parametrize(
    ("person", "withheld"),
    [
        (Person(body=(1, 1, 4, 4)), True),
        (Person(head=(1, 1, 4, 4)), True),
        (Person(points=((1, 1),) * 5), True),
        (Person(head_share=(0.2, 0.2, 0.8, 0.8)), False),  # LFW's: of the upright picture, whatever it shows
        (Person("somebody"), False),
    ],
)
def test_a_turned_picture_is_withheld_only_for_coordinates(tmp_path: Path, person: Person, withheld: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    found = photo(tmp_path, "a.jpg", people=(person,), size=(8, 8))
    assert ("re-save the picture upright" in found.reason if isinstance(found, Unreadable) else False) == withheld


def test_read_photo_takes_any_name(tmp_path: Path) -> None:
    data = stored(Image.fromarray(smooth()), "PNG")
    for name in ("Žofie 北京.png", os.fsdecode(b"caf\xe9.png"), "back\\slash.png"):
        (tmp_path / name).write_bytes(data)
        assert isinstance(photo(tmp_path, name), Photo)


def test_read_photo_never_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "Jane_Doe"
    folder.mkdir()
    (folder / "ok.png").write_bytes(stored(Image.fromarray(smooth()), "PNG"))
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "link.png").symlink_to(folder / "ok.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    expected = {
        "empty.png": "empty",
        "text.jpg": "not an image",
        "link.png": "symbolic link",
        "pipe.png": "not a regular file",
        "folder.png": "not a regular file",
        "missing.png": "No such file",
        "../Jane_Doe/ok.png": "leaves the source",
        "nul\0.png": "leaves the source",
        "x" * 300: "cannot be read",
    }
    for name, reason in expected.items():
        found = photo(tmp_path, f"Jane_Doe/{name}")
        assert isinstance(found, Unreadable)
        assert reason in found.reason
        assert "Jane" not in found.reason
        assert ".png" not in found.reason
    assert photo(tmp_path, "Jane_Doe/ok.png", problem="known before") == Unreadable("known before")


def test_read_photo_refuses_a_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    (tmp_path / "a.bmp").write_bytes(stored(Image.fromarray(smooth()), "BMP"))
    found = photo(tmp_path, "a.bmp")
    assert isinstance(found, Unreadable)
    assert "larger than the 100 bytes" in found.reason


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("no image")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("folder.png", "text.png", "none.png") * 3:
        photo(tmp_path, name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_safe_path() -> None:
    assert all(map(safe_path, ["a", "a/b.jpg", "..a/b..", "a b"]))
    assert not any(map(safe_path, ["", "/a", "a/", "a//b", ".", "a/../b", "../a", "a/./b", "a\0"]))


def test_image_size_reads_the_header_only(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(30_000, 2_000, 8, b""))
    (tmp_path / "b.png").write_text("no image")
    assert images.image_size(tmp_path / "a.png") == (30_000, 2_000)
    assert images.image_size(tmp_path / "b.png") is None
