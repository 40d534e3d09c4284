"""What a run must not touch: finished releases, others' files, places that another run holds."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from small_release import ENTRIES, make, tree

from dsanon.durable import write_json
from dsanon.errors import ReleaseError
from dsanon.layout import ReleasePaths
from dsanon.release import open_release


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
