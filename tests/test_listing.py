"""A release's folders do not tell in which order their files were written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_release import ENTRIES, fill, interrupt, tree

from dsanon import listing
from dsanon.layout import ReleasePaths
from dsanon.listing import recover, reorder
from dsanon.release import open_release, publish

FILES = [f"{folder}/{name}.txt" for folder in ("b", "a", "c/d") for name in (5, 2, 9, 1, 7, 3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "data")


def written(folder: Path) -> Path:
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    return folder


@pytest.fixture
def telling() -> Iterator[Path]:
    """A folder on a file system that lists entries as they were made."""
    place = Path("/dev/shm")
    if not os.access(place, os.W_OK):
        pytest.skip("no tmpfs here")
    folder = place / f"dsanon-test-{os.getpid()}"
    written(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_order_of_the_names_is_all_that_a_folder_tells(telling: Path) -> None:
    def listed(path: Path) -> list[str]:
        names = os.listdir(path)  # noqa: PTH208
        return names if names[0] < names[-1] else names[::-1]

    if listed(telling / "a") == sorted(os.listdir(telling / "a")):  # noqa: PTH208
        pytest.skip("this file system does not list entries as they were made")
    before = tree(telling)
    assert reorder(telling)
    assert tree(telling) == before
    for path in ("", "a", "b", "c/d"):
        assert listed(telling / path) == sorted(os.listdir(telling / path))  # noqa: PTH208
    assert not list(telling.parent.glob(f".{telling.name}.*"))


def test_files_stay_what_they_are(folder: Path) -> None:
    states = {file: (folder / file).stat() for file in FILES}
    assert reorder(folder)
    assert tree(folder) == {file: file for file in FILES}
    assert all((folder / file).stat().st_ino == state.st_ino for file, state in states.items())
    assert {(folder / file).stat().st_nlink for file in FILES} == {1}
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_without_hard_links_all_stays_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(listing.os, "link", refuse)
    assert not reorder(folder)
    assert tree(folder) == {file: file for file in FILES}
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


@pytest.mark.parametrize("killed", ["linking", "between", "after"])
def test_a_kill_loses_nothing(folder: Path, killed: str) -> None:
    new, old = (folder.with_name(f".data.{name}") for name in ("new", "old"))
    shutil.copytree(folder, new)
    if killed == "linking":
        (new / FILES[0]).unlink()
    else:
        folder.rename(old)
    if killed == "after":
        new.rename(folder)
    recover(folder)
    assert tree(folder) == {file: file for file in FILES}
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_a_run_goes_on_that_was_killed_in_the_middle(paths: ReleasePaths) -> None:
    interrupt(paths)
    (paths.data / "half.jpg").unlink()
    fill(paths)
    paths.data.rename(paths.partial / ".data.old")
    (paths.partial / ".data.new").mkdir()
    with open_release(paths, ENTRIES, resume=True) as opened:
        assert opened.resumed
        assert (paths.data / "p1" / "p1_0001.jpg").exists()
        publish(paths, fill(paths))
    assert set(tree(paths.release)) >= {"data/p1/p1_0001.jpg", "data/pairs.txt"}
    assert {path.name for path in paths.release.iterdir()} == {"CARD.md", "data", "manifest.parquet", "release.json"}
