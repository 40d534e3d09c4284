"""A release gets its name when it is whole, with nothing in it that nobody accounts for."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import pytest
from small_release import ENTRIES, fill, make, tree

from dsanon.durable import read_json
from dsanon.errors import DsanonError, ReleaseError
from dsanon.key import load_key
from dsanon.layout import ReleasePaths
from dsanon.manifest import Counts
from dsanon.release import TIME, fingerprint_of, open_release, publish, release_json


def test_a_release_gets_its_name_when_it_is_whole(paths: ReleasePaths) -> None:
    with open_release(paths, ENTRIES) as opened:
        assert not opened.resumed
        assert opened.key == load_key(paths.key)
        assert {path.stat().st_mode & 0o777 for path in (paths.private, paths.staging)} == {0o700}
        owner = read_json(paths.private / "owner.json")
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        expected = fill(paths)
        assert not paths.release.exists()
        publish(paths, expected)
    assert set(tree(paths.release)) == {
        "data/p1/p1_0001.jpg",
        "data/pairs.txt",
        "manifest.parquet",
        "CARD.md",
        "release.json",
    }
    assert {path.name for path in paths.private.iterdir()} == {
        "key",
        "identity_map.parquet",
        "quarantine.parquet",
        "made.json",
    }
    assert {path.name for path in paths.release.parent.iterdir()} == {"source", "out", "out.private"}
    assert {path.stat().st_mode & 0o077 for path in (paths.private, paths.key, paths.made)} == {0}


def test_no_time_tells_in_which_order_files_were_written(paths: ReleasePaths) -> None:
    """They are written in the source's order, which for LFW is the alphabet: an archive would tell who is who."""
    make(paths)
    assert {path.stat().st_mtime for path in [paths.release, *paths.release.rglob("*")]} == {TIME}


def test_an_empty_folder_may_become_the_release(paths: ReleasePaths) -> None:
    paths.release.mkdir()
    make(paths)
    assert "release.json" in tree(paths.release)


def test_the_key_may_lie_elsewhere_and_serve_again(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "mine"
    first = make(ReleasePaths.of(None, tmp_path / "a", key=key))
    second = make(ReleasePaths.of(None, tmp_path / "b", key=key))
    assert first.key == second.key == load_key(key)
    assert first.fingerprint == second.fingerprint
    assert not (tmp_path / "a.private" / "key").exists()


@pytest.mark.parametrize("stray", ["stray.jpg", "p1/other.jpg", "Aaron_Eckhart/"])
def test_what_nobody_accounts_for_is_not_published(paths: ReleasePaths, stray: str) -> None:
    with open_release(paths, ENTRIES):
        expected = fill(paths)
        (paths.data / stray).mkdir() if stray.endswith("/") else (paths.data / stray).write_text("a face")
        with pytest.raises(DsanonError, match=f"data/ holds files that nothing accounts for: {stray}"):
            publish(paths, expected)
    assert not paths.release.exists()


def test_a_link_is_not_published(paths: ReleasePaths) -> None:
    with open_release(paths, ENTRIES):
        expected = fill(paths)
        (paths.data / "pairs.txt").unlink()
        (paths.data / "pairs.txt").symlink_to(paths.staged_map)
        with pytest.raises(DsanonError, match=r"nothing accounts for: pairs.txt -> "):
            publish(paths, expected)


def test_what_is_missing_is_not_published(paths: ReleasePaths) -> None:
    with open_release(paths, ENTRIES):
        expected = fill(paths)
        with pytest.raises(DsanonError, match=r"data/ lacks files that were written: 1.jpg, 2.jpg, 3.jpg and 1 more"):
            publish(paths, [*expected, "1.jpg", "2.jpg", "3.jpg", "4.jpg"])
        (paths.partial / "CARD.md").unlink()
        with pytest.raises(DsanonError, match=r"the release lacks files .* CARD.md"):
            publish(paths, expected)
        fill(paths)
        (paths.partial / "notes").write_text("")
        with pytest.raises(DsanonError, match="the release holds files that nothing accounts for: notes"):
            publish(paths, expected)
        (paths.partial / "notes").unlink()
        paths.staged_map.unlink()
        with pytest.raises(DsanonError, match="nothing is released without its identity map"):
            publish(paths, expected)
    assert not paths.release.exists()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_what_the_disk_refuses_is_one_line(
    paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/mnt/out.partial")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ReleaseError, match=f"cannot write /mnt/out.partial: {message}"), open_release(paths, ENTRIES):
        pytest.fail("it was opened")


def test_a_disk_that_fills_up_while_publishing(paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    make(paths, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_release(paths, ENTRIES, overwrite=True):
        expected = fill(paths, "new")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(ReleaseError, match=r"made.json: the disk is full"):
                publish(paths, expected)
        assert tree(paths.release)["data/pairs.txt"] == "old"
        fill(paths, "new")
        publish(paths, expected)
    assert tree(paths.release)["data/pairs.txt"] == "new"


def test_release_json_says_nothing_private() -> None:
    counts = Counts(anonymized=3, kept=1, regions={"face": {"anonymized": 4, "kept": 1}})
    configuration = {
        "dataset": "lfw",
        "method": "ciagan",
        "scope": "dataset",
        "source": "/home/ann/lfw",
        "private": "/home/ann/p",
        "key": "/home/ann/key",
        "keep": ["Aaron_Eckhart"],
        "workers": 8,
        "device": "cuda:0",
    }
    obj = release_json(counts, configuration, "f" * 64, {"torch": "2.13", "dsanon": "0.1.0"}, {"generator": "ab" * 32})
    assert obj == {
        "schema": 1,
        "state": "complete",
        "counts": {
            "samples": 4,
            "anonymized": 3,
            "fallback": 0,
            "kept": 1,
            "empty": 0,
            "quarantined": 0,
            "regions": {"face": {"anonymized": 4, "kept": 1}},
        },
        "configuration": {"dataset": "lfw", "method": "ciagan", "scope": "dataset"},
        "fingerprint": "f" * 64,
        "versions": {"dsanon": "0.1.0", "torch": "2.13"},
        "weights": {"generator": "ab" * 32},
    }
    assert json.loads(json.dumps(obj)) == obj
    assert release_json(Counts(quarantined=1), {}, "", {}, {})["state"] == "incomplete"


def test_fingerprint_of() -> None:
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1}) != fingerprint_of({"a": 1, "b": 3})
