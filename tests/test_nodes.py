"""Two Ray nodes on this machine: one dies, one comes, one has no room, one does not see the data."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsanon import executor, job
from dsanon.config import JobConfig
from dsanon.errors import UsageError
from dsanon.executor import EVERYWHERE, OnRay
from dsanon.layout import ReleasePaths
from dsanon.nodes import facts, look, missing
from dsanon.sample import Sample
from dsanon.shards import CHUNK, Shard
from dsanon.worker import Setup, Worker
from runs import anonymize, digest, dsanon

SHARDS = 6
OPTIONS = ("--detectors", "hog", "--method", "pixelate")


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """The head alone; this process is not connected to it. Nodes that the test adds go with it."""
    import ray
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes cannot import the tests
    before = signal.getsignal(signal.SIGTERM)
    yield head
    ray.shutdown()
    for node in list(head.worker_nodes):
        head.remove_node(node, allow_graceful=False)
    head.wait_for_nodes(60)  # until no other is believed to be alive
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Shards of tiny walls, and a portrait in the first and the last."""
    root = tmp_path_factory.mktemp("source")
    for number in range(SHARDS * CHUNK):
        Image.fromarray(np.full((20, 20, 3), number % 256, np.uint8)).save(root / f"{number:03d}.png")
    for number in (7, SHARDS * CHUNK - 1):
        Image.fromarray(portrait).save(root / f"{number:03d}.png")
    return root


class Logging(Worker):
    """Writes down which call runs where. On a doomed node a call does not end; elsewhere it waits for that moment."""

    def _noted(self, stage: str, shard: Shard) -> None:
        import ray

        root, here = self.setup.config.source, ray.get_runtime_context().get_node_id()
        with (root.parent / "log").open("a") as file:
            file.write(f"{stage} {shard.number} {here}\n")
        while (node := doomed(root).get(stage)) and (node == here or not begun(root, stage, node)):
            time.sleep(0.05)

    def find(self, shard: Shard) -> dict[str, int]:
        self._noted("find", shard)
        return super().find(shard)

    def render(self, shard: Shard, controls: Any) -> dict[str, int]:
        self._noted("render", shard)
        return super().render(shard, controls)


def log(source: Path) -> list[tuple[str, int, str]]:
    path = source.parent / "log"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(stage, int(number), node) for stage, number, node in lines]


def begun(source: Path, stage: str, node: str) -> bool:
    return any((which, home) == (stage, node) for which, _, home in log(source))


def doomed(source: Path) -> dict[str, str]:
    """The stage in which a node goes → the node. Empty without the file: then no call waits any longer."""
    try:
        return dict(line.split() for line in (source.parent / "doomed").read_text().splitlines())
    except FileNotFoundError:
        return {}


def awaited(source: Path, stage: str, node: str, over: threading.Event) -> bool:
    """Whether a call of the stage begins on the node within 300 s, and within 100 s of the first one elsewhere."""
    deadline = time.monotonic() + 300
    while not begun(source, stage, node):
        if any(which == stage for which, _, _ in log(source)):
            deadline = min(deadline, time.monotonic() + 100)
        if over.wait(0.05) or time.monotonic() > deadline:
            return False
    return True


def test_a_node_lost_in_each_pass_loses_nothing(
    cluster: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two nodes beside the head one goes while faces are looked for, the other while they are painted."""
    assert anonymize(source, tmp_path / "inline", *OPTIONS).code == 0
    monkeypatch.setattr(executor, "Worker", Logging)
    nodes = {stage: cluster.add_node(num_cpus=1) for stage in ("find", "render")}
    (source.parent / "doomed").write_text("".join(f"{stage} {node.node_id}\n" for stage, node in nodes.items()))
    met: list[str] = []  # stages in which a call came to the node that goes
    over = threading.Event()  # the job has ended

    def fate() -> None:
        try:
            for stage, node in nodes.items():
                if not awaited(source, stage, node.node_id, over):
                    return
                met.append(stage)
                cluster.remove_node(node, allow_graceful=False)
            over.wait(300)  # a worker outlives its node for a moment, and would end its call
        finally:
            (source.parent / "doomed").unlink()

    thread = threading.Thread(target=fate)
    thread.start()
    release, key = tmp_path / "release", tmp_path / "inline.private" / "key"
    config = JobConfig("folder", source, method="pixelate", detectors="hog")  # as OPTIONS has it
    paths = ReleasePaths.of(source, release, None, key)
    try:
        job.anonymize(config, paths, EVERYWHERE, cluster.address, quiet=True)
    finally:
        over.set()
        thread.join()
    assert met == ["find", "render"], log(source)
    assert digest(release) == digest(tmp_path / "inline")
    calls = log(source)
    again = Counter((stage, shard) for stage, shard, _ in calls)
    assert set(again) == {(stage, shard) for stage in ("find", "render") for shard in range(SHARDS)}
    for stage, node in nodes.items():
        repeated = {(which, shard) for (which, shard), times in again.items() if which == stage and times > 1}
        assert len(repeated) == 1  # what was under way
        assert repeated == {(which, shard) for which, shard, home in calls if (which, home) == (stage, node.node_id)}
    assert max(again.values()) == 2


def idle(tmp_path: Path, source: Path | None = None) -> Setup:
    root = source or tmp_path
    needed = facts([("SOURCE", root)])
    return Setup(JobConfig("folder", root), tmp_path, tmp_path, bytes(32), None, needed=needed)


class Quick(Worker):
    """Does nothing, at once."""

    def __init__(self, setup: Setup) -> None:
        pass

    def find(self, shard: Shard) -> dict[str, int]:
        return {"samples": 1}


CALLS: list[executor.Call] = [("find", Shard(number, (Sample("a", "a.png"),)), ()) for number in range(4)]


def test_workers_that_wait_for_room_are_told_of_and_get_it(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another job holds all CPUs; then half of them; the run ends where nobody ever gets one."""
    import ray

    monkeypatch.setattr(executor, "Worker", Quick)
    monkeypatch.setattr(executor, "_LOOK", 0.2)
    monkeypatch.setattr(executor, "_PATIENCE", 0.5)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    @ray.remote(num_cpus=1)
    class Other:
        def here(self) -> bool:
            return True

    others = [Other.remote() for _ in range(2)]
    assert ray.get([other.here.remote() for other in others]) == [True, True]
    workers = OnRay(idle(tmp_path), 2, None)
    leave = threading.Timer(3, lambda: ray.kill(others[0]))
    leave.start()
    try:
        assert list(workers.run(CALLS)) == [{"samples": 1}] * 4  # by one worker: the other has no place still
        assert len(workers._homes) == 1
        told = capsys.readouterr().err
        assert "2 of 2 workers have not started: each needs 1 CPU, and 0 of 2 CPUs are free on 1 nodes" in told
        ray.kill(workers._actors.pop(workers._homes.popitem()[0]))
        workers._began -= 2 * executor._GIVE_UP
        workers._looked -= executor._LOOK
        workers._look_around()  # one has waited for long, but another one worked a moment ago
    finally:
        workers.close()
    back = Other.remote()
    assert ray.get(back.here.remote())
    monkeypatch.setattr(executor, "_GIVE_UP", 1.0)
    workers = OnRay(idle(tmp_path), 2, None)
    try:
        with pytest.raises(UsageError, match=r"workers have not started.*go on with --resume") as raised:
            list(workers.run(CALLS))
        assert "\n" not in str(raised.value)
    finally:
        workers.close()


def test_a_node_that_comes_gets_workers(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(executor, "Worker", Quick)
    monkeypatch.setattr(executor, "_LOOK", 0.2)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    workers = OnRay(idle(tmp_path), 3, None)
    try:
        list(workers.run(CALLS))
        assert len(workers._actors) == 2
        node, deadline = cluster.add_node(num_cpus=2), time.monotonic() + 100
        while len(workers._homes) < 3 and time.monotonic() < deadline:
            list(workers.run(CALLS))
        assert Counter(workers._homes.values()) == {cluster.head_node.node_id: 2, node.node_id: 1}
    finally:
        workers.close()


def test_a_node_that_does_not_see_the_source_is_named(
    cluster: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is there and empty, as where a disk is not mounted."""
    command = Path(sys.executable).with_name("ray")
    hidden = f"mount -t tmpfs none {source} && exec {command} start --address={cluster.address} --num-cpus=2 --block"
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    with (tmp_path / "node.log").open("w") as out:
        node = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", hidden],
            stdout=out,
            stderr=out,
            env=os.environ | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
        )
    try:
        import ray as connected

        connected.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        deadline = time.monotonic() + 60
        while connected.cluster_resources().get("CPU", 0) < 4 and time.monotonic() < deadline:
            time.sleep(0.2)
        release = tmp_path / "release"
        done = dsanon("anonymize", "--dataset", "folder", source, release, *OPTIONS, "--ray-address", cluster.address)
        assert done.code == 2
        assert f"does not see the file of SOURCE {source / '000.png'} (nothing is there)" in done.error
        assert done.error.startswith("dsanon: node ")
        assert done.error.count("does not see") == 1  # the head does
        assert not release.exists()
    finally:
        node.terminate()
        node.wait(timeout=30)


def test_a_worker_looks_again_before_its_first_call(tmp_path: Path) -> None:
    needed = facts([("SOURCE", tmp_path / "a"), ("SOURCE", tmp_path)])
    assert [fact.path for fact in needed] == [tmp_path]  # what is missing here as well proves nothing
    (tmp_path / "a").write_bytes(b"12")
    needed = facts([("the file of SOURCE", tmp_path / "a")])
    setup = Setup(JobConfig("folder", tmp_path), tmp_path, tmp_path, bytes(32), None, needed=needed)
    assert executor.Remote(Quick, setup).call("find", CALLS[0][1]) == {"samples": 1}
    (tmp_path / "a").write_bytes(b"123")
    assert "(something else is there)" in missing(needed)
    (tmp_path / "a").unlink()
    assert look(tmp_path / "a") == ""
    with pytest.raises(UsageError, match="does not see the file of SOURCE") as raised:
        executor.Remote(Quick, setup).call("find", CALLS[0][1])
    assert "mount it there" in str(raised.value)
