"""Sequences through the whole job: a portrait that moves, detectors that fail, workers that die."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from dsanon_eval.utility.temporal import measure
from PIL import Image

from dsanon import shards, worker
from dsanon.sample import Region, Sample
from runs import anonymize, digest, dsanon

FRAMES = 18
EYES = np.s_[95:135, 185:265]


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    from skimage import data

    return np.asarray(data.astronaut())[:320, :440]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Two sequences in MOT's layout without annotations: the portrait moves to the right, and to the left."""
    root = tmp_path_factory.mktemp("mot")
    for name, step in (("S-01", 4), ("S-02", -4)):
        folder = root / name / "img1"
        folder.mkdir(parents=True)
        for number in range(FRAMES if step > 0 else 6):
            Image.fromarray(np.roll(portrait, step * number, axis=1)).save(folder / f"{number + 1:06d}.png")
    return root


def eyes(portrait: np.ndarray, picture: Path, shift: int) -> float:
    """Correlation of the portrait's eyes with what is in their place: 1 is the very pixels."""
    place = np.roll(np.asarray(Image.open(picture).convert("RGB")), -shift, axis=1)[EYES]
    return float(np.corrcoef(place.ravel(), portrait[EYES].ravel())[0, 1]) if place.std() > 0 else 0.0


def failing(monkeypatch: pytest.MonkeyPatch, fails: Any) -> None:
    """Detectors that see nobody in some frames."""
    open_finder = worker._open_finder

    def opened(*asked: Any) -> Any:
        finder = open_finder(*asked)

        def find(sample: Sample, pixels: np.ndarray) -> tuple[Region, ...]:
            return () if fails(int(Path(sample.file).stem)) else finder(sample, pixels)

        return find

    monkeypatch.setattr(worker, "_open_finder", opened)


def run(source: Path, release: Path, *options: object) -> Any:
    return anonymize(source, release, "--method", "mask", "--detectors", "hog", *options, dataset="mot")


def rows(release: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(release / "manifest.parquet").to_pylist())


def test_detectors_that_miss_every_third_frame_leak_none(
    source: Path, portrait: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lambda number: number % 3 == 0)
    done = run(source, tmp_path / "release", "--json")
    assert done.code == 0
    assert done.json()["counts"]["anonymized"] == FRAMES + 6
    assert eyes(portrait, source / "S-01" / "img1" / "000003.png", 8) > 0.99  # the measure finds them
    for sequence, step, count in (("S-01", 4, FRAMES), ("S-02", -4, 6)):
        for number in range(count):
            picture = tmp_path / "release" / "data" / sequence / "img1" / f"{number + 1:06d}.png"
            assert eyes(portrait, picture, step * number) < 0.3, picture
    filled = {row["sample"][-6:]: row["reason"] for row in rows(tmp_path / "release") if row["sample"][:4] == "S-01"}
    assert {number for number, reason in filled.items() if reason} == {f"{n:06d}" for n in range(3, FRAMES + 1, 3)}
    assert filled["000003"].startswith("filled in")
    assert filled["000018"].startswith("extended")
    assert len({row["subject"] for row in rows(tmp_path / "release")}) == 2  # one person a sequence


def test_a_track_that_starts_late_and_ends_early_covers_half_a_second_more(
    source: Path, portrait: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lambda number: not 8 <= number <= 11)
    assert run(source, tmp_path / "release").code == 0
    assert {row["status"] for row in rows(tmp_path / "release") if row["sample"][:4] == "S-01"} == {"anonymized"}
    for number in range(FRAMES):
        picture = tmp_path / "release" / "data" / "S-01" / "img1" / f"{number + 1:06d}.png"
        assert eyes(portrait, picture, 4 * number) < 0.5


def test_the_bytes_are_the_same_for_any_workers_and_after_a_death_in_any_stage(
    cluster: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain"
    assert run(source, plain).code == 0
    key = ("--key", plain.with_name("plain.private") / "key")
    two = tmp_path / "two"
    done = dsanon(
        "anonymize", "--dataset", "mot", source, two, "--method", "mask", "--detectors", "hog", "--workers", 2, *key
    )
    assert (done.code, done.error) == (0, "")
    assert digest(two) == digest(plain)
    resumed = tmp_path / "resumed"
    for stage in ("find", "link", "render"):
        act = getattr(worker.Worker, stage)

        def killed(self: worker.Worker, shard: Any, *further: Any, act: Any = act) -> Any:
            if shard.number == 1:
                raise KeyboardInterrupt
            return act(self, shard, *further)

        with monkeypatch.context() as patched:
            patched.setattr(worker.Worker, stage, killed)
            assert run(source, resumed, *key, "--resume").code != 0
    assert not resumed.exists()
    assert run(source, resumed, *key, "--resume").code == 0
    assert digest(resumed) == digest(plain)


def test_painted_faces_hold_one_identity_whatever_the_batches(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes where frames come one by one, although neighbouring frames are mixed."""
    small = tmp_path / "source" / "S-01" / "img1"
    small.mkdir(parents=True)
    for number in range(1, 6):
        picture = cv2.imread(str(source / "S-01" / "img1" / f"{number:06d}.png"))
        cv2.imwrite(str(small / f"{number:06d}.png"), picture)
    options = ("--detectors", "hog")
    assert anonymize(tmp_path / "source", tmp_path / "a", *options, dataset="mot").code == 0
    monkeypatch.setattr(worker, "_PIXELS_AT_ONCE", 1)
    key = ("--key", tmp_path / "a.private" / "key")
    assert anonymize(tmp_path / "source", tmp_path / "b", *options, *key, dataset="mot").code == 0
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    fakes = {(r["subject"], *r["control_ids"]) for r in dsanon("lookup", tmp_path / "a", "--json").json()}
    assert len(fakes) == 1
    found = {(m.name, m.control): m for m in measure(tmp_path / "a", tmp_path / "source", tmp_path / "a.private")}
    assert found["temporal_jitter", "release"].n == found["temporal_jitter_ratio", "release"].n == 3
    assert found["temporal_warping_inside", "original"].value < 0.1 < found["temporal_warping_inside", "release"].value
    assert found["temporal_warping_outside", "release"].value < found["temporal_warping_inside", "release"].value


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """An MP4 of 24 frames in which the portrait moves to the right."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(os.fspath(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = *portrait.shape[:2], "yuv420p"
        stream.options = {"g": "7"}
        for number in range(24):
            picture = np.ascontiguousarray(np.roll(portrait, 3 * number, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_long_video_searched_in_pieces_has_no_joint(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are those of an undivided run, with tracks, gaps and smoothing across the joints, and after a kill."""
    open_finder = worker._open_finder
    searched: list[int] = []

    def failing_in_places(*asked: Any) -> Any:
        finder = open_finder(*asked)

        def find(sample: Sample, pixels: np.ndarray) -> tuple[Region, ...]:
            assert sample.frame is not None
            searched.append(sample.frame)
            return () if sample.frame in (7, 8, 9, 16) else finder(sample, pixels)

        return find

    monkeypatch.setattr(worker, "_open_finder", failing_in_places)
    options = ("--method", "blur", "--detectors", "hog")
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    assert anonymize(clip, whole, *options, dataset="video").code == 0
    monkeypatch.setattr(shards, "PIECE", 9)
    key = ("--key", tmp_path / "whole.private" / "key")
    find = worker.Worker.find

    def killed(self: worker.Worker, piece: shards.Shard) -> dict[str, int]:
        if piece.piece == 2:
            raise KeyboardInterrupt
        return find(self, piece)

    with monkeypatch.context() as patch:
        patch.setattr(worker.Worker, "find", killed)
        assert anonymize(clip, pieces, *options, *key, dataset="video").code != 0
    searched.clear()
    assert anonymize(clip, pieces, *options, *key, "--resume", dataset="video").code == 0
    assert searched == list(range(18, 24))  # two pieces were done
    assert digest(pieces) == digest(whole)
    assert {row["reason"] for row in rows(pieces)} == {"", "filled in from frames before and after"}
    assert len({row["subject"] for row in rows(pieces)}) == 1


def test_a_video_that_is_overwritten_while_it_is_rendered_is_withheld_as_a_whole(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its regions are those of other pictures, and no frame's hash could tell."""
    source, render = tmp_path / "clip.mp4", worker.render
    source.write_bytes(clip.read_bytes())

    def overwritten(*arguments: Any) -> Any:
        source.write_bytes(clip.read_bytes() + b"more")
        return render(*arguments)

    monkeypatch.setattr(worker, "render", overwritten)
    release = tmp_path / "release"
    assert anonymize(source, release, "--method", "mask", "--detectors", "hog", dataset="video").code == 3
    assert {(row["status"], row["reason"]) for row in rows(release)} == {
        ("quarantined", "the source file changed during the run")
    }
    assert len(rows(release)) == 24
