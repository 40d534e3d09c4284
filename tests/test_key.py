from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dsanon.errors import KeyFileError, ReleaseError
from dsanon.key import create_key, destroy_key, key_check, load_key, subkey


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_key_is_private_and_loads(tmp_path: Path) -> None:
    path = tmp_path / "private" / "key"
    previous = os.umask(0)
    try:
        key = create_key(path)
    finally:
        os.umask(previous)
    assert len(key) == 32
    assert load_key(path) == key
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert path.read_text() == key.hex() + "\n"
    assert create_key(tmp_path / "other") != key


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    create_key(tmp_path / "key")
    assert mode(tmp_path) == 0o755


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    key = create_key(tmp_path / "key")
    with pytest.raises(KeyFileError, match="exists already"):
        create_key(tmp_path / "key")
    assert load_key(tmp_path / "key") == key


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "ab" * 33, "ab" * 31 + " ab", "ab" * 32 + "\nab"])
def test_malformed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="is no key: expected 64 hexadecimal digits"):
        load_key(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="does not exist: name the key of this release with --key"):
        load_key(tmp_path / "key")
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_key(tmp_path)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620])
def test_open_to_others(tmp_path: Path, bits: int) -> None:
    create_key(tmp_path / "key")
    (tmp_path / "key").chmod(bits)
    with pytest.raises(KeyFileError, match=rf"mode 0{bits:o}\): chmod 600"):
        load_key(tmp_path / "key")


def test_subkeys_differ_by_key_purpose_and_seed() -> None:
    one, other = b"1" * 32, b"2" * 32
    keys = [subkey(one, "names"), subkey(one, "map"), subkey(one, "names", 1), subkey(other, "names"), one]
    assert len(set(keys)) == 5
    assert {len(key) for key in keys} == {32}
    assert subkey(one, "names", 0) == subkey(one, "names")
    with pytest.raises(ValueError, match="purpose 'name' is unknown"):
        subkey(one, "name")
    assert key_check(one) != key_check(other)
    assert len(key_check(one)) == 16


def test_a_destroyed_key_says_so_and_its_bytes_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = create_key(path)
    os.link(path, tmp_path / "same bytes")
    destroy_key(path)
    assert not path.exists()
    assert key.hex().encode() not in (tmp_path / "same bytes").read_bytes()
    with pytest.raises(KeyFileError, match="was destroyed by `dsanon forget`"):
        load_key(path)
    with pytest.raises(KeyFileError, match="was destroyed by `dsanon forget`"):
        destroy_key(path)
    # A later release may have a key of its own there.
    assert create_key(path) != key
    assert not path.with_name("key.destroyed").exists()


def test_nothing_but_a_key_is_destroyed(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("years of work")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="is no key"):
        destroy_key(path)
    assert path.read_text() == "years of work"


def test_a_read_only_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReleaseError, match=r"key: the file system is read-only"):
        create_key(tmp_path / "key")
