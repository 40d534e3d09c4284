"""Walking, writing aside and safe targets, shared by the adapters of still images."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Encoding, Photo, Sample, Unreadable
from dsanon.sources import stills
from dsanon.sources.stills import (
    IMAGE_SUFFIXES,
    StillSink,
    StillSource,
    check_targets,
    link_problem,
    printable,
    walk,
    write_aside,
)

PIXELS = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)
NAMES = Names(b"n" * 32)


class Plain(StillSource):
    """Keeps every path."""

    dataset = "plain"

    def target(self, sample: Sample, names: Names) -> str:
        return sample.file

    def samples(self) -> list[Sample]:
        return [Sample(file, file) for file in walk(self.root)[0]]

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        return []


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("method", ["samples", "target", "publish"])
def test_an_adapter_that_lacks_a_part_is_not_made(tmp_path: Path, method: str) -> None:
    assert Plain(tmp_path).root == tmp_path
    half = type("Half", (Plain,), {method: getattr(StillSource, method)})
    with pytest.raises(TypeError, match=f"abstract class Half.*{method}"):
        half(tmp_path)


def test_walk_lists_everything_once(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "a-b.webp", "note.txt", ".hidden.jpg", ".git/x.jpg", "photo.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "b.JPG")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "gone.gif").symlink_to(tmp_path / "nothing")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "up.jpg").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe.bmp")
    images, others = walk(tmp_path)
    assert images == ["a-b.webp", "a/z.png", "b.JPG", "gone.gif", "link.jpg", "loop.png", "photo.heic", "pipe.bmp"]
    assert others == [".git", ".hidden.jpg", "note.txt", "up", "up.jpg"]
    assert ".jpeg" in IMAGE_SUFFIXES


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be listed"):
        walk(tmp_path / "missing")


def test_link_problem(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert link_problem(tmp_path, "a.jpg") is None
    assert "symbolic link" in str(link_problem(tmp_path, "link.jpg"))
    assert "not a regular file" in str(link_problem(tmp_path, "pipe.jpg"))
    assert "missing" in str(link_problem(tmp_path, "none.jpg"))


def test_case_collisions() -> None:
    check_targets(["a/x.jpg", "a/y.jpg", "b/x.jpg"])
    with pytest.raises(SourceError, match="differ only by case"):
        check_targets(["a/x.jpg", "A/X.jpg"])
    with pytest.raises(SourceError, match="differ only by case"):
        check_targets(["\u00e9.jpg", "e\u0301.jpg"])  # one é, written in two ways


def test_names_that_no_manifest_can_hold() -> None:
    check_targets(["a/x.jpg", "b/x.png", "a/x.y.jpg", "a/é.jpg"])
    with pytest.raises(SourceError, match=r"'a/x\.jpg' and 'a/x\.png' differ only by the suffix"):
        check_targets(["a/x.jpg", "a/x.png"])
    with pytest.raises(SourceError, match=r"stra.*is no UTF-8"):
        check_targets([os.fsdecode(b"stra\xdfe.png")])


def test_printable() -> None:
    assert printable("Žofie.png") == "Žofie.png"
    assert printable(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"


def test_a_missing_folder_or_a_file_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"found a file at .* expects a folder"):
        Plain(tmp_path / "file")
    with pytest.raises(SourceError, match="found nothing at"):
        Plain(tmp_path / "none")


def test_what_is_read_can_be_written(tmp_path: Path) -> None:
    source, data = tmp_path / "source", tmp_path / "data"
    (source / "sub").mkdir(parents=True)
    Image.fromarray(PIXELS).save(source / "sub/a.png")
    (source / "bad.png").write_text("no image")
    plain = Plain(source)
    samples = plain.samples()
    photos = list(plain.read(samples))
    assert [type(photo) for photo in photos] == [Unreadable, Photo]
    with plain.sink(data, NAMES) as sink:
        for sample, photo in zip(samples, photos, strict=True):
            sink.write(sample, photo if isinstance(photo, Photo) else None)
        written = sink.close()
    assert files(data) == ["sub/a.png"]
    content = (data / "sub/a.png").read_bytes()
    assert written == {"sub/a.png": hashlib.sha256(content).hexdigest()}
    assert np.array_equal(np.array(Image.open(io.BytesIO(content))), PIXELS)
    assert stat.S_IMODE((data / "sub/a.png").stat().st_mode) & 0o044
    assert plain.inputs() == []


@pytest.mark.parametrize(
    ("name", "stored", "released"),
    [
        ("a.jpg", "PNG", "JPEG"),
        ("a.PNG", "JPEG", "PNG"),
        ("a.tif", "TIFF", "TIFF"),
        ("a.heic", "JPEG", "JPEG"),  # nothing writes HEIC
        ("a.gif", "PNG", "GIF"),
    ],
)
def test_the_suffix_names_the_format(tmp_path: Path, name: str, stored: str, released: str) -> None:
    with StillSink(tmp_path, lambda sample: sample.file) as sink:
        sink.write(Sample(name, name), Photo(PIXELS, Encoding(stored), ""))
    assert Image.open(io.BytesIO((tmp_path / name).read_bytes())).format == released


@pytest.mark.parametrize("target", ["../a.jpg", "/etc/a.jpg", "a/../../b.jpg", "", "a//b.jpg", "./a.jpg"])
def test_an_unsafe_target_is_refused(tmp_path: Path, target: str) -> None:
    data = tmp_path / "release" / "data"
    data.mkdir(parents=True)
    with (
        pytest.raises(SourceError, match="leaves the release"),
        StillSink(data, lambda sample: sample.file) as sink,
    ):
        sink.write(Sample(target, target), Photo(PIXELS, Encoding("JPEG"), ""))
    assert files(tmp_path) == []


def test_nothing_half_written_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"before")

    def full(_: int) -> None:
        assert len(files(tmp_path)) == 2
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_aside(tmp_path, "a.png", b"after")
    assert files(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"before"


def test_hashes_are_told_only_of_what_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, written: Sequence[Path]) -> None:
        assert (folder, [path.name for path in written]) == (tmp_path, ["a.png"])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stills, "sync_files", full)
    with StillSink(tmp_path, lambda sample: sample.file) as sink:
        sink.write(Sample("a.png", "a.png"), Photo(PIXELS, Encoding("PNG"), ""))
        with pytest.raises(OSError, match="No space left"):
            sink.close()


def test_writing_again_removes_what_a_crash_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: None)  # killed before the rename
        write_aside(tmp_path, "a.txt", b"half")
    assert len(files(tmp_path)) == 1
    write_aside(tmp_path, "a.txt", b"whole")
    assert files(tmp_path) == ["a.txt"]


def test_a_link_in_the_release_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "outside.txt").write_text("precious")
    (tmp_path / "data/a.txt").symlink_to(tmp_path / "outside.txt")
    write_aside(tmp_path / "data", "a.txt", b"new")
    assert (tmp_path / "outside.txt").read_text() == "precious"
    assert not (tmp_path / "data/a.txt").is_symlink()
