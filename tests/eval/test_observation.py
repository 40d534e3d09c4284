"""Observations survive the cache, and are looked up by all that they depend on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dsanon_eval.seeing import cache
from dsanon_eval.seeing.cache import FILE, Cache
from dsanon_eval.seeing.observation import Observation, Suite, fingerprint, picture_key

from dsanon.errors import ReleaseError
from dsanon.sample import Region


def test_an_observation_comes_back_as_it_was() -> None:
    seen = Observation(
        {"hog": np.zeros((0, 4)), "centerface": np.array([[1.0, 2, 3, 4]])},
        {"dlib_resnet": np.ones((2, 128), np.float32)},
        np.full((2, 136), np.nan, np.float32),
        np.zeros((2, 320), np.float32),
        np.zeros((1, 320), np.float32),
        face_fid=np.ones((2, 2048), np.float32),
    )
    again = Observation.decode(seen.encode())
    assert again.squares["hog"].shape == (0, 4)
    assert again.found("centerface", (1, 2, 3, 4))
    assert not again.found("hog", (1, 2, 3, 4))
    assert np.array_equal(again.embeddings["dlib_resnet"], seen.embeddings["dlib_resnet"])
    assert (again.face_fid.shape, again.image_fid.shape) == ((2, 2048), (0, 0))
    assert np.array_equal(again.landmarks, seen.landmarks, equal_nan=True)


def test_keys_differ_by_file_picture_place_and_instruments() -> None:
    face, other = Region("face", (0, 0, 9, 9)), Region("face", (0, 0, 9, 8))
    plain, more = Suite(("hog",)), Suite(("hog",), landmarks=True)
    keys = {
        picture_key("ab", "original", [face], fingerprint(plain)),
        picture_key("cd", "original", [face], fingerprint(plain)),
        picture_key("ab", "blur9", [face], fingerprint(plain)),
        picture_key("ab", "original", [other], fingerprint(plain)),
        picture_key("ab", "original", [face, other], fingerprint(plain)),
        picture_key("ab", "original", [face], fingerprint(more)),
    }
    assert len(keys) == 6
    assert picture_key("ab", "original", [face], fingerprint(plain)) in keys


def test_what_was_remembered_is_there_in_the_next_run_and_closed_to_others(tmp_path: Path) -> None:
    with Cache(tmp_path / "audit") as cache:
        cache.put("a", b"1")
        cache.put("a", b"2")
    with Cache(tmp_path / "audit") as cache:
        assert (cache.get("a"), cache.get("b")) == (b"2", None)
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "audit" / FILE).stat().st_mode & 0o777 == 0o600


def test_of_what_was_seen_a_kill_costs_the_last_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cache(tmp_path) as killed, Cache(tmp_path) as next_run:
        killed.put("a", b"1")
        assert next_run.get("a") is None
        monkeypatch.setattr(cache, "EVERY", 0.0)
        killed.put("b", b"2")
        assert (next_run.get("a"), next_run.get("b")) == (b"1", b"2")


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(ReleaseError, match="delete it"):
        Cache(tmp_path)


def test_damage_that_shows_later_is_named_too(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        for number in range(200):
            cache.put(f"{number}", b"x" * 5000)
    file = tmp_path / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with Cache(tmp_path) as cache, pytest.raises(ReleaseError, match="delete it"):
        cache.get("7")


def test_two_runs_that_write_at_once_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PATIENCE", 0.05)
    with Cache(tmp_path) as one, Cache(tmp_path) as other:
        one.put("a", b"1")  # and for seconds nothing is committed
        with pytest.raises(ReleaseError, match="wait for the other run"):
            other.put("b", b"2")
