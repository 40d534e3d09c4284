"""Workers that die, fail or have no place, on a Ray cluster that the tests share."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dsanon import executor, job, worker
from dsanon.config import JobConfig
from dsanon.errors import DsanonError, ReleaseError
from dsanon.executor import Inline, OnRay, condemn
from dsanon.sample import Sample
from dsanon.shards import CHUNK, Shard
from dsanon.worker import DIED, Setup, Worker
from runs import Done, anonymize, assert_nothing_of, digest, dsanon, fill, finished, small_disk


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Three shards of walls; a portrait in the first and one in the last."""
    root = tmp_path_factory.mktemp("source")
    for number in range(2 * CHUNK + 6):
        Image.fromarray(np.full((40, 50, 3), 3 * number, np.uint8)).save(root / f"{number:03d}.png")
    for number in (7, 2 * CHUNK + 2):
        Image.fromarray(portrait).save(root / f"{number:03d}.png")
    return root


OPTIONS = ("--detectors", "hog", "--method", "pixelate")


@pytest.fixture(scope="module")
def inline(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release made without Ray."""
    release = tmp_path_factory.mktemp("inline") / "release"
    assert anonymize(source, release, *OPTIONS).code == 0
    return release


def key(inline: Path) -> tuple[str, Path]:
    return "--key", inline.with_name("release.private") / "key"


def on_ray(source: Path, release: Path, *options: object) -> Done:
    return dsanon("anonymize", "--dataset", "folder", source, release, "--workers", 2, *OPTIONS, *options)


def test_a_worker_killed_in_the_middle_changes_nothing(
    cluster: Any, source: Path, inline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    marker.mkdir()

    class Mortal(Worker):
        """Dies once in each pass, at the portrait of the first shard."""

        def _read(self, shard: Shard) -> Any:
            for sample, photo in super()._read(shard):
                if sample.file == "007.png":
                    before = sorted(p.name for p in marker.iterdir())
                    if before in ([], ["find"]) and len(before) == shard.found(self.setup.staging).exists():
                        (marker / ("render" if before else "find")).touch()
                        os.kill(os.getpid(), signal.SIGKILL)
                yield sample, photo

    monkeypatch.setattr(executor, "Worker", Mortal)
    done = on_ray(source, tmp_path / "release", *key(inline))
    assert (done.code, done.error) == (0, "")
    assert sorted(p.name for p in marker.iterdir()) == ["find", "render"]
    assert digest(tmp_path / "release") == digest(inline)


def test_samples_that_kill_every_worker_are_withheld(
    cluster: Any, source: Path, inline: Path, tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in the first pass, one in the second in the middle of a batch; Ray tells of the latest call first."""

    class Poisoned(Worker):
        def __init__(self, setup: Setup) -> None:
            super().__init__(setup)
            self._finder = lambda sample, pixels: ()  # sees nobody, and is there at once

        def _read(self, shard: Shard) -> Any:
            for sample, photo in super()._read(shard):
                if sample.file == "007.png" and not sample.problem:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield sample, photo

        def _render_batch(self, batch: Any, rows: Any, sink: Any) -> None:
            if any(sample.file == "066.png" and not sample.problem for sample, _, _ in batch):
                os.kill(os.getpid(), signal.SIGKILL)
            super()._render_batch(batch, rows, sink)

    wait = cluster.wait

    def latest_first(refs: list[Any], num_returns: int, timeout: float) -> Any:
        wait(refs, num_returns=num_returns)
        ready, _ = wait(refs, num_returns=len(refs), timeout=0.2)
        return [ready[-1]], [ref for ref in refs if ref != ready[-1]]

    monkeypatch.setattr(executor, "Worker", Poisoned)
    monkeypatch.setattr(cluster, "wait", latest_first)
    release = tmp_path / "release"
    done = on_ray(source, release, *key(inline), "--json")
    assert (done.code, done.error) == (3, "")
    withheld = pq.read_table(tmp_path / "release.private" / "quarantine.parquet").to_pylist()
    assert {row["source_file"]: row["reason"] for row in withheld} == {"007.png": DIED, "066.png": DIED}
    assert_nothing_of(portrait, [source / "007.png"], release)
    expected, found = digest(inline), digest(release)
    released = {file for file in found if file.startswith("data/")}
    assert len(released) == 2 * CHUNK + 4
    assert {file: found[file] for file in released} == {file: expected[file] for file in released}


class TwoArguments(Exception):
    """As many packages have them: comes out of a pickle only with both."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class Failing:
    """A worker whose every shard fails in its own way."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        if setup.config.seed == 1:
            raise ReleaseError("SOURCE is not here")
        if setup.config.seed == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def find(self, shard: Shard) -> dict[str, int]:
        if shard.number == 0:
            raise OSError(errno.ENOSPC, "No space left on device", "/a/b")
        if shard.number == 1:
            raise ReleaseError("the disk is full: free some space")
        if shard.number == 2:
            raise TwoArguments("this", "that")
        if shard.number == 3:
            raise ZeroDivisionError("by\nzero")
        return {"samples": 1}


def setup(tmp_path: Path, seed: int = 0) -> Setup:
    return Setup(JobConfig("folder", tmp_path, seed=seed), tmp_path, tmp_path, bytes(32), {})


def find(number: int) -> list[executor.Call]:
    return [("find", Shard(number, (Sample("a", "a.png"),)), ())]


def test_what_a_worker_raises_arrives_as_it_was(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "Worker", Failing)
    workers = OnRay(setup(tmp_path), 1, None)
    try:
        with pytest.raises(OSError, match="No space") as full:
            list(workers.run(find(0)))
        assert (type(full.value), full.value.errno, full.value.filename) == (OSError, errno.ENOSPC, "/a/b")
        with pytest.raises(ReleaseError) as said:
            list(workers.run(find(1)))
        assert str(said.value) == "the disk is full: free some space"
        assert said.value.exit_code == 2
        with pytest.raises(DsanonError, match=r"a worker failed: TwoArguments: this: that$"):
            list(workers.run(find(2)))
        with pytest.raises(DsanonError, match=r"a worker failed: ZeroDivisionError: by$"):
            list(workers.run(find(3)))
        assert list(workers.run(find(4))) == [{"samples": 1}]
    finally:
        workers.close()


def test_workers_that_cannot_start_end_the_run(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "Worker", Failing)
    monkeypatch.setattr(executor, "_UNEXPLAINED", 2)
    for seed, kind, words in ((1, ReleaseError, "SOURCE is not here"), (2, DsanonError, "no sample explains it")):
        workers = OnRay(setup(tmp_path, seed), 1, None)
        try:
            with pytest.raises(kind, match=words) as raised:
                list(workers.run(find(4)))
            assert "\n" not in str(raised.value)
        finally:
            workers.close()


def test_a_cluster_without_nodes_is_not_waited_for(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its raylet was killed before an actor had its place: no answer will come."""
    monkeypatch.setattr(executor, "Worker", Failing)
    workers = OnRay(setup(tmp_path), 1, None)
    monkeypatch.setattr(cluster, "wait", lambda refs, num_returns, timeout: ([], refs))
    monkeypatch.setattr(cluster, "nodes", lambda: [{"Alive": False}])
    try:
        with pytest.raises(DsanonError, match="its last node died"):
            list(workers.run(find(4)))
    finally:
        workers.close()


class Meeting(Failing):
    """Its call lasts until two are under way."""

    def find(self, shard: Shard) -> dict[str, int]:
        root, deadline = self.setup.config.source, time.monotonic() + 30
        (root / f"{shard.number}.met").touch()
        while len(met := list(root.glob("*.met"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        return {"met": len(met)}


def test_no_call_waits_behind_another_for_a_worker_that_comes_later(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker that has its place leaves the second call to the other one."""
    monkeypatch.setattr(executor, "Worker", Meeting)
    workers = OnRay(setup(tmp_path), 2, None)
    try:
        assert list(workers.run([*find(4), *find(5)])) == [{"met": 2}] * 2
    finally:
        workers.close()


def test_there_are_no_more_actors_than_there_is_room_for(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight on two CPUs six would wait for ever, and their calls with them."""
    monkeypatch.setattr(executor, "Worker", Failing)
    workers = OnRay(setup(tmp_path), 8, None)
    try:
        calls = [call for number in range(4, 14) for call in find(number)]
        assert len(list(workers.run(calls))) == 10
        with monkeypatch.context() as patched:
            patched.setattr(workers, "_room", lambda: 3)  # that the third CPU's node is lost is not known so far
            workers._looked -= executor._LOOK
            workers._look_around()
            assert list(workers._actors) == [0, 1, 2]
        workers._looked -= executor._LOOK
        workers._look_around()
        assert list(workers._actors) == [0, 1]
        assert 2 not in workers._arriving.values()
        monkeypatch.setattr(workers, "_room", lambda: 1)  # a node is lost
        workers._replace(0)
        assert list(workers._actors) == [1]
        assert len(list(workers.run(calls))) == 10
        workers._replace(1)
        assert list(workers._actors) == [1]  # the last one waits for room to come back
    finally:
        workers.close()


def test_no_ray_is_bad_usage(tmp_path: Path, source: Path) -> None:
    command = [sys.executable, "-c", "from dsanon.cli import main; main()", "anonymize", "--dataset", "folder"]
    command += [source, tmp_path / "release", "--ray-address", "127.0.0.1:1"]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    done = finished(ended.returncode, ended.stdout, ended.stderr)
    assert done.code == 2
    assert "no Ray at 127.0.0.1:1" in done.error


def actors() -> list[psutil.Process]:
    """Of the cluster that this process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.cmdline() and process.cmdline()[0].startswith("ray::Remote"):
                found.append(process)
    return found


def shared_memory(family: list[psutil.Process]) -> set[Path]:
    """What processes hold in /dev/shm, where it has a name."""
    found = set()
    for process in family:
        with suppress(psutil.Error):
            found |= {Path(mapped.path) for mapped in process.memory_maps() if mapped.path.startswith("/dev/shm/")}
    return {path for path in found if path.exists()}


def start(source: Path, release: Path, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from dsanon.cli import main; main()", "anonymize", "--dataset", "folder"]
    command += [str(part) for part in (source, release, "--workers", 1, *OPTIONS, *options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_disk_that_fills_up_under_a_worker(
    cluster: Any, source: Path, tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = job.assign_shards
    with small_disk(tmp_path / "disk", "2m") as disk:
        release = disk / "release"

        def filled(*arguments: Any) -> Any:
            fill(disk)
            return plan(*arguments)

        monkeypatch.setattr(job, "assign_shards", filled)
        done = on_ray(source, release, "--limit", CHUNK)
        assert done.code == 2
        assert "the disk is full: free some space" in done.error
        assert not release.exists()
        assert_nothing_of(portrait, [source / "007.png"], release)
    deadline = time.monotonic() + 15
    while actors() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert actors() == []


def test_a_terminated_run_on_ray_leaves_nothing_and_goes_on(source: Path, inline: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    process = start(source, release, *key(inline))
    staging, deadline = tmp_path / "release.private" / "staging", time.monotonic() + 240
    while not list(staging.glob("*.at")) and time.monotonic() < deadline:
        time.sleep(0.01)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any(one.name() == "raylet" for one in family)
    memory = shared_memory(family)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    done = finished(process.returncode, out, err)
    assert (done.code, done.error) == (
        1,
        "dsanon: interrupted: run it again (anonymize and train: with --resume) and it goes on",
    )
    assert not release.exists()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert not any(path.exists() for path in memory)
    assert anonymize(source, release, *OPTIONS, *key(inline), "--resume").code == 0
    assert digest(release) == digest(inline)


def test_a_second_culprit_in_a_video_condemns_the_rest_of_it() -> None:
    video = (*(Sample(f"v#{n}", "v", frame=n) for n in range(4)), Sample("w#0", "w", frame=0))
    once = condemn(video, 1)
    assert [sample.problem for sample in once] == [None, DIED, None, None, None]
    assert [sample.problem for sample in condemn(once, 2)] == [None, DIED, DIED, DIED, None]
    stills = tuple(Sample(f"{n}", f"{n}.png") for n in range(3))
    assert [sample.problem for sample in condemn(condemn(stills, 0), 1)] == [DIED, DIED, None]


def test_inline_gives_the_process_its_arithmetic_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(worker, "open_source", lambda dataset, root: None)
    tiny = torch.tensor([1e-39])
    inline = Inline(setup(tmp_path))
    assert float(tiny * 1) == 0
    inline.close()
    assert float(tiny * 1) > 0


def test_workers_share_gpus() -> None:
    shares = [executor.share_of_gpu(gpus, workers) for gpus, workers in ((1, 1), (4, 2), (1, 3), (8, 64), (1, 64))]
    assert shares == [1, 1, 0.3333, 0.125, 1 / 16]
    assert [int(gpus / share) for gpus, share in zip((1, 4, 1, 8, 1), shares, strict=True)] == [1, 4, 3, 64, 16]
