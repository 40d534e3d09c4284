from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dsanon.durable import explain_oserror, read_json, write_json
from dsanon.errors import DsanonError, KeyFileError, ReleaseError, UsageError
from dsanon.key import load_key
from dsanon.layout import ReleasePaths
from dsanon.manifest import Counts
from dsanon.release import Opened, fingerprint_of, open_release, publish, release_json

ENTRIES = {"configuration": {"method": "ciagan", "seed": 0}, "weights": {"generator": "ab" * 32}, "inputs": "cd" * 32}


@pytest.fixture
def paths(tmp_path: Path) -> ReleasePaths:
    (tmp_path / "source").mkdir()
    return ReleasePaths.of(tmp_path / "source", tmp_path / "out")


def fill(paths: ReleasePaths, text: str = "pixels") -> list[str]:
    """What the job writes: two data files and all that a whole release needs."""
    (paths.data / "p1").mkdir(exist_ok=True)
    files = ["p1/p1_0001.jpg", "pairs.txt"]
    for file in files:
        (paths.data / file).write_text(text)
    for file in (
        paths.partial / "manifest.parquet",
        paths.partial / "CARD.md",
        paths.staged_map,
        paths.staged_quarantine,
    ):
        file.write_text(text)
    write_json(paths.partial / "release.json", {"state": "complete", "text": text})
    return files


def make(paths: ReleasePaths, text: str = "pixels", entries: Mapping[str, Any] = ENTRIES, **options: bool) -> Opened:
    with open_release(paths, entries, **options) as opened:
        publish(paths, fill(paths, text))
    return opened


def interrupt(paths: ReleasePaths, entries: Mapping[str, Any] = ENTRIES, **options: bool) -> Opened:
    """A run that stops in the middle of its data."""
    with pytest.raises(KeyboardInterrupt), open_release(paths, entries, **options) as opened:  # noqa: PT012
        (paths.data / "half.jpg").write_text("half")
        raise KeyboardInterrupt
    return opened


def tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


# Places


def test_places(tmp_path: Path) -> None:
    paths = ReleasePaths.of(tmp_path / "source", tmp_path / "out")
    assert paths.private == tmp_path / "out.private"
    assert paths.key == tmp_path / "out.private" / "key"
    assert paths.partial == tmp_path / "out.partial"
    assert ReleasePaths.of(None, tmp_path / "out", tmp_path / "p").key == tmp_path / "p" / "key"


@pytest.mark.parametrize(
    ("source", "release", "private", "key"),
    [
        ("a", "a", None, None),
        ("a", "a/out", None, None),
        ("a/b", "a", None, None),
        ("a.partial", "a", None, None),
        ("s", "a", "a", None),
        ("s", "a", "a/private", None),
        ("s", "a", "a.partial/private", None),
        ("s", "p/a", "p", None),
        ("s", "a", "s/private", None),
        ("s", "a", "p", "a/key"),
        ("s", "a", "p", "a.partial/key"),
        ("s", "a", "p", "p/staging/key"),
        ("s", "a", "p", "s/key"),
        ("p/staging", "a", "p", None),
        ("link", "a", None, None),
        ("s", "a", "link", None),
        ("s", "a", "p", "link/key"),
        ("s", "/", None, None),
    ],
)
def test_places_that_lie_in_one_another(
    tmp_path: Path, source: str, release: str, private: str | None, key: str | None
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match=r"overlap|lies inside|would be made inside|root"):
        ReleasePaths.of(
            tmp_path / source,
            tmp_path / release,
            tmp_path / private if private else None,
            tmp_path / key if key else None,
        )


def test_neighbours_with_a_common_beginning_are_fine(tmp_path: Path) -> None:
    ReleasePaths.of(tmp_path / "lfw", tmp_path / "lfw2", tmp_path / "lfw3")


# From start to name


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


# Refusals


def test_a_finished_release_is_not_touched(paths: ReleasePaths) -> None:
    make(paths)
    before = tree(paths.release.parent)
    for options in ({}, {"resume": True}):
        with (
            pytest.raises(ReleaseError, match="is finished: replace it with --overwrite"),
            open_release(paths, ENTRIES, **options),
        ):
            pytest.fail("it was opened")
    assert tree(paths.release.parent) == before
    assert not paths.partial.exists()


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_what_is_no_release_is_never_touched(paths: ReleasePaths, options: dict[str, bool]) -> None:
    paths.release.mkdir()
    (paths.release / "thesis.txt").write_text("years of work")
    with pytest.raises(ReleaseError, match="holds other things"), open_release(paths, ENTRIES, **options):
        pytest.fail("it was opened")
    (paths.release / "thesis.txt").unlink()
    paths.partial.mkdir()
    (paths.partial / "thesis.txt").write_text("years of work")
    with pytest.raises(ReleaseError, match="holds other things"), open_release(paths, ENTRIES, **options):
        pytest.fail("it was opened")
    assert (paths.partial / "thesis.txt").read_text() == "years of work"
    paths.release.rmdir()
    paths.release.write_text("a file")
    with pytest.raises(ReleaseError, match="is a file"), open_release(paths, ENTRIES, **options):
        pytest.fail("it was opened")


def test_a_private_side_that_others_can_see(paths: ReleasePaths) -> None:
    paths.private.mkdir()
    paths.private.chmod(0o755)
    (paths.private / "other").write_text("")
    with pytest.raises(ReleaseError, match=r"is open to others \(mode 0755\): chmod 700"), open_release(paths, ENTRIES):
        pytest.fail("it was opened")
    assert paths.private.stat().st_mode & 0o777 == 0o755, "a folder that is in use is not changed"
    (paths.private / "other").unlink()
    with open_release(paths, ENTRIES):
        assert paths.private.stat().st_mode & 0o777 == 0o700


def test_a_private_side_belongs_to_one_release(tmp_path: Path) -> None:
    make(ReleasePaths.of(None, tmp_path / "a", tmp_path / "p"))
    other = ReleasePaths.of(None, tmp_path / "b", tmp_path / "p")
    with pytest.raises(ReleaseError, match=r"belongs to .*/a: name another folder"), open_release(other, ENTRIES):
        pytest.fail("it was opened")
    assert not other.partial.exists()


HOLD = """
import sys
from pathlib import Path
from dsanon.layout import ReleasePaths
from dsanon.release import open_release
with open_release(ReleasePaths.of(None, Path(sys.argv[1]), Path(sys.argv[2])), {}):
    print("open", flush=True)
    sys.stdin.read()
"""


def hold(release: Path, private: Path) -> subprocess.Popen[str]:
    """A second process that has the release open."""
    command = [sys.executable, "-c", HOLD, str(release), str(private)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_two_runs_at_once(paths: ReleasePaths) -> None:
    with hold(paths.release, paths.private) as process:
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with (
                pytest.raises(ReleaseError, match=f"in use by process {process.pid} on {socket.gethostname()}"),
                open_release(paths, ENTRIES, **options),
            ):
                pytest.fail("it was opened")
        elsewhere = ReleasePaths.of(None, paths.release, paths.private.with_name("elsewhere"))
        with (
            pytest.raises(ReleaseError, match=r"out.partial is in use by another run"),
            open_release(elsewhere, ENTRIES),
        ):
            pytest.fail("it was opened")
        # Killed without a chance to clean up, it still lets the next one in.
        process.send_signal(signal.SIGKILL)
        process.wait()
    with open_release(paths, ENTRIES) as opened:
        assert not opened.resumed


def test_a_run_on_another_host(paths: ReleasePaths) -> None:
    paths.private.mkdir(mode=0o700)
    note = paths.private / "owner.json"
    write_json(note, {"pid": 12, "host": "gpu-7", "started": "2026-11-02T10:00:00+00:00"}, 0o600)
    with (
        pytest.raises(
            ReleaseError, match=r"process 12 on gpu-7 since 2026.* \(if that process is dead, delete .*owner.json"
        ),
        open_release(paths, ENTRIES, overwrite=True),
    ):
        pytest.fail("it was opened")
    assert note.exists()
    note.unlink()
    make(paths)


def test_a_file_system_without_locks(paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    paths.private.mkdir(mode=0o700)
    note = {"pid": os.getppid(), "host": socket.gethostname(), "started": "2026"}
    write_json(paths.private / "owner.json", note, 0o600)
    with pytest.raises(ReleaseError, match=f"in use by process {os.getppid()}"), open_release(paths, ENTRIES):
        pytest.fail("it was opened")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_json(paths.private / "owner.json", {**note, "pid": gone.pid}, 0o600)
    make(paths)


# Interrupted, resumed, overwritten


def test_an_interrupted_run_goes_on(paths: ReleasePaths) -> None:
    first = interrupt(paths)
    with (
        pytest.raises(ReleaseError, match="of an interrupted run: use --resume to go on, --overwrite to start afresh"),
        open_release(paths, ENTRIES),
    ):
        pytest.fail("it was opened")
    with open_release(paths, dict(reversed(ENTRIES.items())), resume=True) as second:
        assert second.resumed
        assert (second.key, second.fingerprint) == (first.key, first.fingerprint)
        assert (paths.data / "half.jpg").read_text() == "half"


def test_a_run_interrupted_before_its_data_goes_on(paths: ReleasePaths) -> None:
    with open_release(paths, ENTRIES):
        (paths.staging / "found-0000.parquet").write_text("rows")
    with open_release(paths, ENTRIES, resume=True) as opened:
        assert opened.resumed
        assert (paths.staging / "found-0000.parquet").exists()


def test_a_run_that_left_nothing_needs_no_option(paths: ReleasePaths) -> None:
    with open_release(paths, ENTRIES):
        pass
    with open_release(paths, {**ENTRIES, "inputs": "other"}) as opened:
        assert not opened.resumed


def test_resume_with_nothing_to_resume_starts(paths: ReleasePaths) -> None:
    assert not make(paths, resume=True).resumed
    assert paths.release.is_dir()


def test_overwrite_drops_an_interrupted_run(paths: ReleasePaths) -> None:
    first = interrupt(paths)
    second = make(paths, entries={**ENTRIES, "inputs": "other"}, overwrite=True)
    assert first.key == second.key
    assert first.fingerprint != second.fingerprint
    assert "data/half.jpg" not in tree(paths.release)


def test_resume_says_what_has_changed(paths: ReleasePaths) -> None:
    interrupt(paths)
    changed = {"configuration": {"method": "blur", "seed": 0, "block": 8}, "weights": {"generator": "ef" * 32}}
    with pytest.raises(ReleaseError) as caught, open_release(paths, {**changed, "inputs": "cd" * 32}, resume=True):
        pytest.fail("it was opened")
    assert str(caught.value) == (
        f"{paths.partial} cannot be resumed, for these have changed: configuration.block (was None, now 8), "
        "configuration.method (was ciagan, now blur), weights.generator; "
        "restore them or start afresh with --overwrite instead of --resume"
    )


def test_resume_with_another_key(paths: ReleasePaths, tmp_path: Path) -> None:
    interrupt(paths)
    other = ReleasePaths.of(None, paths.release, key=tmp_path / "other")
    with pytest.raises(KeyFileError, match="does not exist"), open_release(other, ENTRIES, resume=True):
        pytest.fail("it was opened")
    make(ReleasePaths.of(None, tmp_path / "x", key=other.key))
    with pytest.raises(ReleaseError, match="have changed: key;"), open_release(other, ENTRIES, resume=True):
        pytest.fail("it was opened")


def test_resume_without_its_private_side(paths: ReleasePaths) -> None:
    interrupt(paths)
    elsewhere = ReleasePaths.of(None, paths.release, paths.private.with_name("elsewhere"))
    with (
        pytest.raises(ReleaseError, match=r"job.json is missing; name the --private side it was begun with"),
        open_release(elsewhere, ENTRIES, resume=True),
    ):
        pytest.fail("it was opened")


def test_the_old_release_stays_until_the_new_one_is_whole(paths: ReleasePaths) -> None:
    make(paths, "old")
    old = {**tree(paths.release), "map": paths.map.read_text()}
    interrupt(paths, overwrite=True)
    assert {**tree(paths.release), "map": paths.map.read_text()} == old
    with pytest.raises(ReleaseError, match="is finished"), open_release(paths, ENTRIES, resume=True):
        pytest.fail("it was opened")
    with open_release(paths, ENTRIES, resume=True, overwrite=True) as opened:
        assert opened.resumed
        (paths.data / "half.jpg").unlink()
        publish(paths, fill(paths, "new"))
    assert tree(paths.release)["data/pairs.txt"] == "new"
    assert paths.map.read_text() == "new"
    assert not paths.replaced.exists()


@pytest.mark.parametrize("moment", [1, 2])
def test_killed_in_the_exchange(paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Whichever rename was the last, some whole release is found under the name, and the new one can still get it."""
    make(paths, "old")
    rename, done = Path.rename, 0

    def killed(path: Path, target: Path) -> Path:
        nonlocal done
        if path in (paths.release, paths.partial):
            done += 1
            if done == moment:
                raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            make(paths, "new", overwrite=True)
    with open_release(paths, ENTRIES, resume=True, overwrite=True) as opened:
        assert opened.resumed
        assert tree(paths.release)["data/pairs.txt"] == "old"
        publish(paths, fill(paths, "new"))
    assert tree(paths.release)["data/pairs.txt"] == "new"
    assert {path.name for path in paths.release.parent.iterdir()} == {"source", "out", "out.private"}


# The disk


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


# release.json


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
