"""What an interrupted run left is believed only where it is as it was sealed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsanon import job
from dsanon.durable import read_object
from dsanon.errors import ReleaseError
from dsanon.layout import ReleasePaths
from dsanon.lock import share, wait_for
from dsanon.models import store
from dsanon.release import open_release
from dsanon.seals import require, seal, sound
from runs import anonymize, digest

OPTIONS = ("--detectors", "hog", "--method", "pixelate")


def test_a_seal_tells_change_and_loss(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"rows")
    assert not sound(path)
    seal(path)
    assert sound(path)
    path.write_bytes(b"rowz")
    assert not sound(path)
    with pytest.raises(ReleaseError, match=r"a was damaged .* --resume"):
        require(path)
    path.unlink()
    assert not sound(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> tuple[Path, Path, dict[str, str]]:
    """(source, key, digest) of a run that nothing happens to."""
    home = tmp_path_factory.mktemp("made")
    (home / "source").mkdir()
    for number in range(2):
        Image.fromarray(np.roll(portrait[20:244, 120:344], number, axis=1)).save(home / "source" / f"{number}.png")
    assert anonymize(home / "source", home / "release", *OPTIONS).code == 0
    return home / "source", home / "release.private" / "key", digest(home / "release")


@pytest.mark.parametrize("file", ["found.parquet", "manifest.parquet", "map.parquet", "done.json", "*.png", "*.sha256"])
def test_what_was_damaged_is_made_anew(
    file: str, made: tuple[Path, Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, key, expected = made
    release = tmp_path / "release"

    def cut_off(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "merge", cut_off)
        assert anonymize(source, release, *OPTIONS, "--key", key).code == 1
    staging, data = tmp_path / "release.private" / "staging", tmp_path / "release.partial" / "data"
    for victim in [*staging.glob(file), *staging.glob(f"*.{file}"), *data.glob(file)]:
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    done = anonymize(source, release, *OPTIONS, "--key", key, "--resume")
    assert (done.code, done.error) == (0, "")
    assert digest(release) == expected


def test_damage_during_the_run_ends_it_in_a_line(
    made: tuple[Path, Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, key, expected = made
    plan: Callable[..., Any] = job.assign_shards

    def damaged(*arguments: Any) -> Any:
        (tmp_path / "release.private/staging/000000.found.parquet").write_bytes(b"PAR1")
        return plan(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(job, "assign_shards", damaged)
        done = anonymize(source, tmp_path / "release", *OPTIONS, "--key", key)
    assert done.code == 2
    assert "was damaged or altered during the run: go on with --resume" in done.error
    assert anonymize(source, tmp_path / "release", *OPTIONS, "--key", key, "--resume").code == 0
    assert digest(tmp_path / "release") == expected


@pytest.mark.parametrize("stage", ["find", "plan"])
def test_weights_that_are_altered_during_the_run_are_not_used(
    stage: str,
    made: tuple[Path, Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before fake identities are planned by what they say of themselves, and behind that."""
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    weights = store.add("ciagan-face", store.SHIPPED / "ciagan-face.safetensors")
    plan: Callable[..., Any] = job.assign_shards

    def altered(*arguments: Any) -> Any:
        planned = None if stage == "find" else plan(*arguments)
        with weights.open("r+b") as file:
            file.write(b"\xff")
        return plan(*arguments) if planned is None else planned

    monkeypatch.setattr(job, "assign_shards", altered)
    done = anonymize(made[0], tmp_path / "release", "--detectors", "hog", "--method", "ciagan")
    assert done.code == 2
    assert done.error.endswith("was altered during the run: restore it, then go on with --resume")
    assert not (tmp_path / "release").exists()


def test_the_workers_of_a_killed_driver_are_waited_for(tmp_path: Path) -> None:
    code = "import pathlib, sys, time; from dsanon.lock import share; share(pathlib.Path(sys.argv[1]))"
    code += "; print('on', flush=True); time.sleep(60)"
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        worker.stdout.readline()
        with pytest.raises(ReleaseError, match="workers of an interrupted run"):
            wait_for(tmp_path, 0.1)
        os.kill(worker.pid, signal.SIGKILL)
        began = time.monotonic()
        wait_for(tmp_path, 30)
        assert time.monotonic() - began < 30
    finally:
        worker.kill()
        worker.communicate()


def test_several_workers_share_a_folder(tmp_path: Path) -> None:
    handles = [share(tmp_path), share(tmp_path)]
    assert None not in handles
    for handle in handles:
        os.close(handle or 0)
    wait_for(tmp_path, 0)


@pytest.mark.parametrize("file", ["job.json", "made.json", "owner.json"])
@pytest.mark.parametrize("content", [b"[]", b'"release"', b"null", b"{}", b'{"release": 3}', b"[" * 100_000, b"\xff"])
def test_a_private_side_that_was_altered_is_said(file: str, content: bytes, paths: ReleasePaths) -> None:
    with pytest.raises(KeyboardInterrupt), open_release(paths, {}):  # noqa: PT012
        (paths.data / "half.jpg").write_text("half")
        raise KeyboardInterrupt
    target = paths.job if file == "job.json" else paths.private / file
    target.write_bytes(content)
    with pytest.raises(ReleaseError, match=f"{file}"), open_release(paths, {}, resume=True):
        pytest.fail("it was believed")


def test_objects_have_their_fields(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"pid": 1, "host": "h"}))
    assert read_object(tmp_path / "a.json", pid=int, host=str) == {"pid": 1, "host": "h"}
    assert read_object(tmp_path / "none.json", pid=int) is None
    with pytest.raises(ReleaseError, match="expected a JSON object with pid"):
        read_object(tmp_path / "a.json", pid=str)
