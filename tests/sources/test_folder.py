"""A folder of images: every name becomes a token."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Photo
from dsanon.sources import open_source
from dsanon.sources.folder import FolderSource

NAMES = Names(b"f" * 32)


def make(root: Path, *names: str) -> FolderSource:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / name, "PNG")
    return FolderSource(root)


def test_samples_are_sorted_and_promise_nobody(tmp_path: Path) -> None:
    source = make(tmp_path, "b.png", "Jane_Doe/1.png", "a/b/c.jpg")
    samples = source.samples()
    assert [sample.id for sample in samples] == ["Jane_Doe/1.png", "a/b/c.jpg", "b.png"]
    assert not any(sample.someone or sample.people or sample.problem for sample in samples)
    assert (source.dataset, source.scope, source.regions) == ("folder", "dataset", "face")
    assert isinstance(open_source("folder", tmp_path), FolderSource)


def test_targets_hide_every_name_and_keep_the_tree(tmp_path: Path) -> None:
    source = make(tmp_path, "Jane_Doe/party/x.PNG", "Jane_Doe/y.png", "John/party/x.PNG")
    one, two, three = [source.target(sample, NAMES).split("/") for sample in source.samples()]
    assert (len(one), len(two), len(three)) == (3, 2, 3)
    assert one[0] == two[0]
    assert one[0] != three[0]
    assert one[1] != three[1]  # a folder's token depends on its whole path
    assert one[2].endswith(".PNG")
    for part in [*one, *two, *three]:
        assert not any(word in part.lower() for word in ("jane", "doe", "party", "john", "x.", "y."))
    other = Names(b"g" * 32)
    assert source.target(source.samples()[0], other).split("/")[0] != one[0]


def test_a_nested_copy_of_a_name_has_its_own_token(tmp_path: Path) -> None:
    source = make(tmp_path, "a.png", "a/a.png", "A.png")
    targets = {source.target(sample, NAMES) for sample in source.samples()}
    assert len({target.lower() for target in targets}) == 3  # no two collide where case does not count


def test_any_name_can_be_read_and_released(tmp_path: Path) -> None:
    names = ["Žofie/北京.png", os.fsdecode(b"caf\xe9/\xff.png"), "new\nline.png"]
    source = make(tmp_path / "source", *names)
    samples = source.samples()
    assert "caf\\xe9/\\xff.png" in [sample.id for sample in samples]
    assert [sample.id for sample in samples] == sorted(sample.id for sample in samples)
    for sample in samples:
        sample.id.encode()  # every table can store it
    with source.sink(tmp_path / "data", NAMES) as sink:
        for sample, photo in zip(samples, source.read(samples), strict=True):
            assert isinstance(photo, Photo)
            sink.write(sample, photo)
        assert len(sink.close()) == 3
    assert all(path.name.isascii() for path in (tmp_path / "data").rglob("*"))


def test_names_that_read_alike_are_refused(tmp_path: Path) -> None:
    source = make(tmp_path, os.fsdecode(b"\xff.png"), "\\xff.png")
    with pytest.raises(SourceError, match="read alike"):
        source.samples()


def test_links_and_pipes_are_quarantined_and_do_not_hang(tmp_path: Path) -> None:
    source = make(tmp_path, "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    samples = source.samples()
    assert [sample.problem is None for sample in samples] == [True, False, False]
    assert [isinstance(photo, Photo) for photo in source.read(samples)] == [True, False, False]


def test_no_folder_or_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "note.txt").touch()
    with pytest.raises(SourceError, match="no image below"):
        FolderSource(tmp_path).samples()
    with pytest.raises(SourceError, match="found a file"):
        FolderSource(tmp_path / "note.txt")
    with pytest.raises(SourceError, match="found nothing"):
        FolderSource(tmp_path / "none")


def test_other_files_are_counted_not_copied(tmp_path: Path) -> None:
    source = make(tmp_path / "source", "a.png")
    assert len(source.publish(tmp_path, source.samples(), NAMES)) == 1
    (tmp_path / "source/Jane.txt").touch()
    (tmp_path / "source/.hidden").touch()
    sentences = source.publish(tmp_path, source.samples(), NAMES)
    assert sentences[1].startswith("2 other files")
    assert "Jane" not in "".join(sentences)
