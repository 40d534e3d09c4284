"""JSON is whole or not there; what the disk says becomes one line."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dsanon.durable import explain_oserror, read_json, write_json
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
