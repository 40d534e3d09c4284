"""Sources and releases in object storage: in this process's memory, and on an S3 server that the tests start."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsanon import job, objects
from dsanon.errors import StorageError, UsageError
from dsanon.shards import CHUNK, Shard
from dsanon.storage import Bucket, place
from dsanon.worker import Worker
from runs import Done, anonymize, assert_nothing_of, digest, dsanon

OPTIONS = ("--detectors", "hog", "--method", "pixelate", "--workers", 0)
FRESH = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """moto's S3 on a free port of this machine; its address."""
    pytest.importorskip("moto", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    code = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        port = next(line.split()[1] for line in process.stdout or () if line.startswith("port "))
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A prefix of an S3 bucket; credentials are in the environment, as usual."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKIAOFTHETESTS"),
        ("AWS_SECRET_ACCESS_KEY", "secret-of-the-tests"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", server),
    ):
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"test{next(FRESH)}"
    s3fs.S3FileSystem().mkdir(bucket)
    return Bucket(f"s3://{bucket}/data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Two shards of walls; a portrait in each, and a file that is no image."""
    root = tmp_path_factory.mktemp("source")
    (root / "b").mkdir()
    for number in range(CHUNK + 3):
        Image.fromarray(np.full((24, 30, 3), 3 * number, np.uint8)).save(root / "b" / f"{number:03d}.png")
    Image.fromarray(portrait).save(root / "a.png")
    Image.fromarray(portrait).save(root / "b" / "z.jpg")
    (root / "b" / "broken.png").write_bytes(b"\x89PNG no more")
    (root / "b" / "empty.png").touch()
    return root


@pytest.fixture(scope="module")
def disk(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job between folders."""
    release = tmp_path_factory.mktemp("disk") / "release"
    assert anonymize(folder, release, *OPTIONS).code == 3
    return release


def upload(source: Path, bucket: Bucket) -> None:
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    bucket.write({path.relative_to(source).as_posix(): path.read_bytes() for path in files})


def run(source: object, release: object, *options: object, dataset: str = "folder") -> Done:
    return dsanon("anonymize", "--dataset", dataset, source, release, *OPTIONS, *options)


def held(bucket: Bucket, folder: Path) -> dict[str, str]:
    """sha256 of every file of the release, after its marker was checked."""
    shutil.rmtree(folder, ignore_errors=True)
    objects.fetch(bucket, folder)
    return digest(folder)


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a_release_in_a_bucket_is_that_of_a_folder(
    kind: str, request: pytest.FixtureRequest, folder: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket: Bucket = request.getfixturevalue(kind)
    monkeypatch.chdir(tmp_path)
    upload(folder, bucket / "in")
    key = ("--key", disk.with_name("release.private") / "key")
    done = run(bucket / "in", bucket / "out", *key, "--json")
    assert (done.code, done.error) == (3, "")  # the broken and the empty one are withheld
    assert done.json()["paths"]["release"] == f"{bucket}/out"
    found = held(bucket / "out", tmp_path / "fetched")
    expected = digest(disk)
    assert set(found) == set(expected)
    # the fingerprint tells the sources apart: a bucket has no times of files
    assert {file for file in found if found[file] != expected[file]} == {"release.json"}
    assert (bucket / "out.partial").listed() == {}
    assert "secret-of-the-tests" not in done.out + json.dumps(done.json())
    private = tmp_path / "out.private"
    assert sorted(path.name for path in private.iterdir()) == [
        "identity_map.parquet", "made.json", "objects.json", "quarantine.parquet"
    ]  # fmt: skip
    assert private.stat().st_mode & 0o077 == 0
    names = set(bucket.listed())
    assert {name for name in names if not name.startswith(("in/", "out/"))} == set()
    rows = dsanon("lookup", bucket / "out", *key, "--json").json()
    assert sorted({row["source_file"] for row in rows}) == ["a.png", "b/z.jpg"]
    again = run(bucket / "in", bucket / "out", *key)
    assert (again.code, again.error) == (
        2,
        f"dsanon: RELEASE {bucket}/out is finished: replace it with --overwrite or name another prefix",
    )
    assert run(bucket / "in", bucket / "out", *key, "--overwrite").code == 3
    assert held(bucket / "out", tmp_path / "fetched") == found


def crash(monkeypatch: pytest.MonkeyPatch, method: str, calls: int) -> None:
    """The ``calls``-th call of a method of Bucket and all later ones find no network."""
    real, count = getattr(Bucket, method), itertools.count(1)

    def broken(self: Bucket, *arguments: Any) -> Any:
        if next(count) >= calls:
            raise StorageError(f"{self}: no network")
        return real(self, *arguments)

    monkeypatch.setattr(Bucket, method, broken)


@pytest.mark.parametrize(
    ("method", "calls"),
    [("write", 1), ("write", 2), ("upload", 2), ("copy", 1), ("copy", 3), ("copy", 9), ("write", 3), ("read", 3)],
    ids=[
        "first samples",
        "second shard",
        "small files",
        "exchange",
        "third piece",
        "small copies",
        "marker",
        "reading",
    ],
)
def test_a_run_cut_off_anywhere_publishes_nothing_and_goes_on(
    memory: Bucket,
    folder: Path,
    disk: Path,
    tmp_path: Path,
    portrait: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    calls: int,
) -> None:
    upload(folder, memory / "in")
    options = ("--private", tmp_path / "private", "--key", disk.with_name("release.private") / "key")
    monkeypatch.setattr(job, "COPIED", 5)  # eight pieces
    with pytest.MonkeyPatch.context() as patch:
        crash(patch, method, calls)
        done = run(memory / "in", memory / "out", *options)
    assert done.code == 2
    assert "no network" in done.error
    with pytest.raises(objects.ReleaseError, match=r"no COMMITTED\.json"):
        objects.fetch(memory / "out", tmp_path / "fetched")
    local = tmp_path / "seen"
    for name, content in zip(memory.listed(), memory.read(list(memory.listed())), strict=True):
        if not name.startswith("in/"):
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_bytes(content or b"")
    assert_nothing_of(portrait, [folder / "a.png"], local)
    refused = run(memory / "in", memory / "out", *options)
    assert refused.code == 2
    if method != "write" or calls > 1:
        assert "use --resume" in refused.error
    assert run(memory / "in", memory / "out", *options, "--resume").code == 3
    expected = digest(disk)
    found = held(memory / "out", tmp_path / "fetched")
    assert {file for file in expected if found[file] != expected[file]} == {"release.json"}
    assert (memory / "out.partial").listed() == {}


def test_workers_copy_pieces_in_the_order_of_the_released_names(
    memory: Bucket, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In neither the source's order nor its shards: times of objects must not tell them."""
    upload(folder, memory / "in")
    copied: list[list[str]] = []
    copy = Worker.copy

    def noted(self: Worker, shard: Shard, source: Bucket, names: list[str], target: Bucket) -> dict[str, int]:
        copied.append(list(names))
        assert (target / objects.MARKER).look() == ""
        return copy(self, shard, source, names, target)

    monkeypatch.setattr(Worker, "copy", noted)
    monkeypatch.setattr(job, "COPIED", 16)
    assert run(memory / "in", memory / "out", "--private", tmp_path / "private").code == 3
    samples = [name for name in (memory / "out").listed() if name.startswith("data/")]
    assert [len(names) for names in copied] == [16, 16, 5]
    assert [name for names in copied for name in names] == sorted(samples)


def test_an_old_release_stays_until_the_new_one_is_whole(memory: Bucket, folder: Path, tmp_path: Path) -> None:
    upload(folder, memory / "in")
    options = ("--private", tmp_path / "private")
    assert run(memory / "in", memory / "out", *options).code == 3
    before = held(memory / "out", tmp_path / "fetched")
    with pytest.MonkeyPatch.context() as patch:
        crash(patch, "upload", 3)
        assert run(memory / "in", memory / "out", *options, "--overwrite", "--method", "mask").code == 2
    assert held(memory / "out", tmp_path / "fetched") == before
    assert run(memory / "in", memory / "out", *options, "--overwrite", "--resume", "--method", "mask").code == 3
    assert held(memory / "out", tmp_path / "fetched") != before


def test_an_altered_release_is_not_believed(memory: Bucket, folder: Path, tmp_path: Path) -> None:
    upload(folder, memory / "in")
    assert run(memory / "in", memory / "out", "--private", tmp_path / "private", "--limit", 3).code == 0
    out = memory / "out"
    sample = next(name for name in out.listed() if name.startswith("data/"))
    marker = next(out.read([objects.MARKER])) or b""

    def refused(words: str) -> None:
        with pytest.raises(objects.ReleaseError, match=words):
            held(out, tmp_path / "fetched")
        done = dsanon("audit", out, "--source", memory / "in", "--private", tmp_path / "private", "--workers", 0)
        assert (done.code, bool(re.search(words, done.error))) == (2, True)

    content = next(out.read([sample])) or b""
    for name, bad, good, words in (
        (sample, content[:-1] + b"?", content, "is not what the manifest says"),
        ("data/stray.png", content, None, "differ in data/stray.png"),
        (sample, None, content, f"differ in {sample}"),
        ("CARD.md", b"# nothing happened", next(out.read(["CARD.md"])), "is not what its COMMITTED.json says"),
        (objects.MARKER, marker.replace(b'"objects": ', b'"objects": 1'), marker, "altered"),
        (objects.MARKER, b"{}", marker, "no marker of schema 1"),
        (objects.MARKER, None, marker, "not finished"),
    ):
        out.write({name: bad}) if bad is not None else out.delete([name])
        refused(words)
        out.write({name: good}) if good is not None else out.delete([name])
    held(out, tmp_path / "fetched")


@pytest.mark.parametrize("dataset", ["lfw", "celeba", "coco"])
def test_annotated_datasets(memory: Bucket, tmp_path: Path, portrait: np.ndarray, dataset: str) -> None:
    """The same files as between folders, annotations and all."""
    source = tmp_path / "source"
    small = Image.fromarray(portrait).resize((256, 160))
    if dataset == "lfw":
        for person, count in (("Ann_A", 2), ("Bob_B", 1)):
            (source / "lfw" / person).mkdir(parents=True)
            for number in range(1, count + 1):
                small.save(source / "lfw" / person / f"{person}_{number:04d}.jpg")
        (source / "people.txt").write_text("1\n2\nAnn_A\t2\nBob_B\t1\n")
        (source / "pairs.txt").write_text("1\t1\nAnn_A\t1\t2\nAnn_A\t1\tBob_B\t1\n")
    elif dataset == "celeba":
        (source / "img_align_celeba").mkdir(parents=True)
        for number in (1, 2):
            small.resize((178, 218)).save(source / "img_align_celeba" / f"{number:06d}.jpg")
        (source / "identity_CelebA.txt").write_text("000001.jpg 7\n000002.jpg 9\n")
    else:
        (source / "val2017").mkdir(parents=True)
        (source / "annotations").mkdir()
        small.save(source / "val2017" / "000000000001.jpg")
        content = {
            "images": [{"id": 1, "file_name": "000000000001.jpg", "width": 256, "height": 160}],
            "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [80, 10, 90, 140]}],
            "categories": [{"id": 1, "name": "person"}],
        }
        (source / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    upload(source, memory / "in")
    first = run(source, tmp_path / "disk", dataset=dataset)
    key = ("--private", tmp_path / "private", "--key", tmp_path / "disk.private" / "key")
    assert run(memory / "in", memory / "out", *key, dataset=dataset).code == first.code == 0
    found, expected = held(memory / "out", tmp_path / "fetched"), digest(tmp_path / "disk")
    assert set(found) == set(expected)
    assert {file for file in expected if found[file] != expected[file]} == {"release.json"}
    # and from one kind of place to the other
    assert run(memory / "in", tmp_path / "local", *key[2:], dataset=dataset).code == 0
    assert digest(tmp_path / "local") == found


def test_what_does_not_work_is_refused_in_a_line(memory: Bucket, folder: Path, tmp_path: Path) -> None:
    upload(folder, memory / "in")
    private = ("--private", tmp_path / "private")
    for source, release, dataset, options, words in (
        (memory / "in", memory / "out", "mots", (), "--dataset mots cannot lie in object storage"),
        (folder, memory / "out", "video", (), "that works for folder, lfw, celeba, coco"),
        (memory / "in", memory / "out", "folder", ("--workers", 2), "use --workers 0"),
        (memory / "none", memory / "out", "folder", (), "found no objects below"),
        (memory / "in", memory / "in" / "out", "folder", (), "overlap"),
        (memory / "in", "s3://key:secret@bucket/x", "folder", (), "credentials"),
        (memory / "in", "s3://", "folder", (), "expected s3://bucket/prefix"),
        (memory / "in", "nostore://bucket/x", "folder", (), "install fsspec's package for nostore"),
    ):
        done = run(source, release, *private, *options, dataset=dataset)
        assert done.code == 2, done
        assert words in done.error
        assert "secret" not in done.error
    assert {name.split("/")[0] for name in memory.listed()} == {"in"}
    assert isinstance(place(f"file://{tmp_path}"), Path)
    assert place("s3a://bucket/x") == place("s3://bucket/x/")
    with pytest.raises(UsageError):
        place("s3://bucket/../x")


def test_a_bucket_that_is_not_there_is_one_line(s3: Bucket, folder: Path, tmp_path: Path) -> None:
    done = run(folder, "s3://nowhere-at-all/out", "--private", tmp_path / "private")
    assert done.code == 2
    assert "object storage failed" in done.error
    assert "secret-of-the-tests" not in done.error
    assert "AKIAOFTHETESTS" not in done.error


def test_a_killed_run_on_ray_goes_on_from_s3(
    s3: Bucket, folder: Path, disk: Path, tmp_path: Path, portrait: np.ndarray
) -> None:
    """Killed with SIGKILL while workers render; what it left on S3 has nobody in it."""
    upload(folder, s3 / "in")
    command = [sys.executable, "-c", "from dsanon.cli import main; main()", "anonymize", "--dataset", "folder"]
    command += [f"{s3}/in", f"{s3}/out", "--private", str(tmp_path / "private"), *map(str, OPTIONS[:-1]), "1"]
    command += ["--key", str(disk.with_name("release.private") / "key")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    staging, deadline = tmp_path / "private" / "staging", time.monotonic() + 300
    while not list(staging.glob("*.done.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert (s3 / "out").listed() == {}
    assert (s3 / "out.partial").listed()
    ended = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 3, ended.stderr
    assert re.search(r"^copy ", ended.stderr, re.MULTILINE)  # by the worker
    expected, found = digest(disk), held(s3 / "out", tmp_path / "fetched")
    assert {file for file in expected if found[file] != expected[file]} == {"release.json"}
    assert_nothing_of(portrait, [folder / "a.png"], tmp_path / "fetched")
