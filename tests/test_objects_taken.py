"""Whose a prefix of object storage is: of several runs that name the same one, at most one releases anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsanon import objects
from dsanon.errors import ReleaseError, StorageError
from dsanon.layout import ReleasePaths
from dsanon.storage import Bucket
from dsanon.worker import Worker
from runs import Done, digest, dsanon


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three walls in COCO's layout, whose files keep their names in a release."""
    root = tmp_path_factory.mktemp("source")
    (root / "val2017").mkdir()
    for number in (1, 2, 3):
        Image.fromarray(np.full((24, 30, 3), 50 * number, np.uint8)).save(root / "val2017" / f"{number:012d}.png")
    (root / "annotations").mkdir()
    (root / "annotations" / "captions_val2017.json").write_text(
        '{"images": [{"id": 1, "file_name": "000000000001.png"}], "annotations": []}'
    )
    return root


def run(source: Path, release: object, *options: object) -> Done:
    command = ("anonymize", "--dataset", "coco", source, release, "--detectors", "hog", "--method", "pixelate")
    return dsanon(*command, "--workers", 0, *options)


def no_network(*_: object) -> None:
    raise StorageError("no network")


def test_two_runs_do_not_share_a_prefix_and_two_releases_no_private_side(
    memory: Bucket, folder: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "upload", no_network)
        assert run(folder, memory / "out", "--private", tmp_path / "one").code == 2
    other = run(folder, memory / "out", "--private", tmp_path / "two")
    assert other.code == 2
    assert "out.partial holds a run on " in other.error
    assert run(folder, memory / "out", "--private", tmp_path / "two", "--overwrite").code == 0
    late = run(folder, memory / "out", "--private", tmp_path / "one", "--resume")
    assert "is finished" in late.error
    shared = run(folder, memory / "b" / "out", "--private", tmp_path / "two")
    assert f"belongs to {memory}/out" in shared.error
    local = run(folder, tmp_path / "out", "--private", tmp_path / "two")
    assert f"belongs to {memory}/out" in local.error
    (memory / "mine").write({"letter.txt": b"dear"})
    assert "holds other things" in run(folder, memory / "mine", "--private", tmp_path / "four").error


def taking(memory: Bucket, tmp_path: Path) -> list[ReleasePaths]:
    """Two private sides that name the same release."""
    paths = [ReleasePaths.of(None, memory / "out", tmp_path / name) for name in ("one", "two")]
    for each in paths:
        each.partial.mkdir(parents=True)
    return paths


def test_of_two_runs_that_begin_at_once_one_is_refused(
    memory: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = taking(memory, tmp_path)
    listed = Bucket.listed

    def late(bucket: Bucket) -> dict[str, str]:
        found = listed(bucket)
        monkeypatch.setattr(Bucket, "listed", listed)
        objects.take(one, False, False)
        return found

    monkeypatch.setattr(Bucket, "listed", late)
    with pytest.raises(ReleaseError, match="taken by another run just now"):
        objects.take(two, False, False)
    objects.publish(one, (), ())


def test_a_run_whose_prefix_was_taken_publishes_nothing(memory: Bucket, tmp_path: Path) -> None:
    """The names of COCO's images are the same in both: nothing but the owner tells whose they are."""
    one, two = taking(memory, tmp_path)
    ours = objects.take(one, False, False)
    theirs = objects.take(two, False, True)
    for step in (lambda: objects.publish(one, {"1.jpg"}, ()), lambda: objects.exchange(one)):
        for mine in (ours, theirs):
            mine.write({"data/1.jpg": b"of whom?"})
        with pytest.raises(ReleaseError, match="no longer of this run"):
            step()
        assert (ours.listed(), list(theirs.listed())) == ({}, ["data/1.jpg"])  # it clears away what is its own
    assert not (memory / "out").listed()
    (memory / "out.partial").delete(["owner.json"])
    with pytest.raises(ReleaseError, match="of nobody any more"):
        objects.exchange(two)


def test_a_run_that_lost_its_prefix_changes_nothing_of_the_release_that_took_it(
    memory: Bucket, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on writing, with samples of the same names, while the other one publishes and after that."""
    copy, render, ends = objects.Bucket.copy, Worker.render, []

    def interrupted(worker: Worker, *arguments: object) -> dict[str, int]:
        monkeypatch.setattr(Worker, "render", render)
        options = ("--private", tmp_path / "two", "--overwrite", "--method", "mask")
        monkeypatch.setattr(Bucket, "copy", late)
        ends.append(run(folder, memory / "out", *options).code)
        return render(worker, *arguments)  # type: ignore[arg-type]

    def late(source: Bucket, names: list[str], target: Bucket) -> None:
        (memory / "out.partial").write({"data/val2017/000000000001.png": b"of a run that lost it"})
        copy(source, names, target)

    monkeypatch.setattr(Worker, "render", interrupted)
    lost = run(folder, memory / "out", "--private", tmp_path / "one")
    assert (lost.code, ends) == (2, [0])
    assert "of nobody any more, no longer of this run" in lost.error
    objects.fetch(memory / "out", tmp_path / "fetched")
    assert run(folder, tmp_path / "disk", "--method", "mask").code == 0
    expected, found = digest(tmp_path / "disk"), digest(tmp_path / "fetched")
    assert {file for file in expected if expected[file] != found.get(file)} == {"release.json"}


def test_a_prefix_that_is_taken_while_it_is_published_gets_no_marker(
    memory: Bucket, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Bucket.copy

    def taken(source: Bucket, names: list[str], target: Bucket) -> None:
        copy(source, names, target)
        (memory / "out.partial").write({"owner.json": b'{"run": "other", "host": "h", "started": "now"}'})

    monkeypatch.setattr(Bucket, "copy", taken)
    done = run(folder, memory / "out", "--private", tmp_path / "one")
    assert (done.code, "is of a run on h since now" in done.error) == (2, True)
    with pytest.raises(ReleaseError, match=r"no COMMITTED\.json"):
        objects.fetch(memory / "out", tmp_path / "fetched")
