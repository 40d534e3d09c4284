"""JSON is whole or not there; what the disk says becomes one line."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from dsanon.durable import explain_oserror, read_json, sync_files, write_json
from dsanon.errors import ReleaseError


def test_explain_oserror() -> None:
    error = explain_oserror(OSError(errno.ENOSPC, "No space left on device"), Path("a/b"))
    assert str(error).startswith("cannot write a/b: the disk is full")
    assert str(explain_oserror(OSError(errno.EIO, "Input/output error"))).startswith(
        "cannot write the release: Input/output error"
    )
    assert str(explain_oserror(OSError("Arrow says so"))).startswith("cannot write the release: Arrow says so")
    assert explain_oserror(OSError()).exit_code == 2


def test_json_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"name": "Zoë", "n": 1}, 0o600)
    assert path.read_text(encoding="utf-8") == '{\n  "name": "Zoë",\n  "n": 1\n}\n'
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"n": float("nan")})
    assert read_json(path) == {"name": "Zoë", "n": 1}
    assert read_json(tmp_path / "none") is None
    path.write_text("{")
    with pytest.raises(ReleaseError, match=r"a.json cannot be read as JSON"):
        read_json(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


class _Libc:
    """A C library whose syncfs answers ``code``."""

    def __init__(self, code: int) -> None:
        self.asked: list[int] = []
        self.code = code

    def syncfs(self, descriptor: int) -> int:
        self.asked.append(descriptor)
        return self.code


def test_files_are_synced_at_once_where_the_system_can_and_one_by_one_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_text("x")
    one_by_one: list[int] = []
    monkeypatch.setattr(os, "fsync", one_by_one.append)
    libc = _Libc(0)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    sync_files(tmp_path, files)
    assert len(libc.asked) == 1
    assert not one_by_one
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())  # another system's
    sync_files(tmp_path, files)
    assert len(one_by_one) == 2
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: _Libc(-1))
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        sync_files(tmp_path, files)
