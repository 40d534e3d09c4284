"""Faults of files, disks and users, through the whole job."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dsanon import job, worker
from runs import anonymize, assert_nothing_of, digest, dsanon, files, fill, likeness, small_disk


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Three portraits and a wall."""
    root = tmp_path_factory.mktemp("source")
    for number in range(3):
        Image.fromarray(np.roll(portrait, 40 * number, axis=1)).save(root / f"{number}.png")
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(root / "wall.png")
    return root


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Path]:
    """(digest, key) of a run that nothing happens to."""
    release = tmp_path_factory.mktemp("undisturbed") / "release"
    assert anonymize(source, release, "--detectors", "hog").code == 0
    return digest(release), release.with_name("release.private") / "key"


def rows(release: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(release / "manifest.parquet").to_pylist())


def reasons(release: Path) -> dict[str, str]:
    """Source file → why it is quarantined."""
    table = pq.read_table(release.with_name(release.name + ".private") / "quarantine.parquet")
    return {row["source_file"]: row["reason"] for row in table.to_pylist()}


def exif(orientation: int, thumbnail: bytes) -> bytes:
    """EXIF with an orientation, a place (GPS) and a thumbnail."""
    gps = 8 + 2 + 2 * 12 + 4
    second = gps + 2 + 12 + 4
    data = second + 2 + 2 * 12 + 4
    return b"".join(
        [
            b"Exif\0\0II*\0" + struct.pack("<I", 8),
            struct.pack("<HHHIHHHHIII", 2, 0x0112, 3, 1, orientation, 0, 0x8825, 4, 1, gps, second),
            struct.pack("<HHHI4sI", 1, 1, 2, 2, b"N\0\0\0", 0),
            struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, data, 0x0202, 4, 1, len(thumbnail), 0),
            thumbnail,
        ]
    )


def huge_png(side: int) -> bytes:
    """A black picture of ``side`` × ``side`` pixels that is small as a file."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer = zlib.compressobj(1)
    row = bytes(1 + side // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_folder_of_everything_that_is_wrong_with_files(tmp_path: Path, portrait: np.ndarray) -> None:
    root = tmp_path / "source"
    root.mkdir()
    image = Image.fromarray(portrait)
    image.save(root / "good.jpg", quality=95)
    (root / "truncated.jpg").write_bytes((root / "good.jpg").read_bytes()[:30_000])
    (root / "zero.png").write_bytes(b"")
    import cv2

    cv2.imwrite(str(root / "deep.png"), portrait[..., ::-1].astype(np.uint16) * 257)
    image.convert("CMYK").save(root / "cmyk.jpg", quality=95)
    image.quantize(256).save(root / "palette.png")
    image.save(root / "moving.gif", save_all=True, append_images=[Image.fromarray(portrait[::-1])])
    thumbnail = BytesIO()
    image.resize((160, 100)).save(thumbnail, "JPEG")
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.save(root / "sideways.jpg", quality=95, exif=exif(6, thumbnail.getvalue()))
    (root / "huge.png").write_bytes(huge_png(20_000))
    image.save(root / "png named.jpg", "PNG")
    Image.fromarray(np.zeros((4, 70_000, 3), np.uint8)).save(root / "too wide for a.jpg", "PNG")
    (root / "text.png").write_text("Ann Example, 1 Main Street")
    (root / "link.jpg").symlink_to(root / "good.jpg")
    os.mkfifo(root / "pipe.jpg")
    image.save(root / "Zoë 人.png")
    for name in ("Case.png", "case.png"):
        Image.fromarray(np.full((30, 40, 3), 77, np.uint8)).save(root / name)
    before = {p.name: p.read_bytes() for p in files(root) if p.name != "link.jpg"}

    release = tmp_path / "release"
    done = anonymize(root, release, "--json")
    assert (done.code, done.error) == (3, "")
    counts = done.json()["counts"]
    assert (done.json()["state"], counts["samples"]) == ("incomplete", 17)
    assert (counts["anonymized"], counts["empty"], counts["quarantined"]) == (6, 2, 9)
    assert {file: reason.split(":")[0] for file, reason in reasons(release).items()} == {
        "truncated.jpg": "the image is truncated",
        "zero.png": "the file is empty",
        "deep.png": "16 bits per channel",
        "moving.gif": "several frames in one file (an animation or pages)",
        "huge.png": "400 megapixels",
        "too wide for a.jpg": "70000 pixels long, but named a JPEG, which ends at 65500",
        "text.png": "not an image that can be read",
        "link.jpg": "a symbolic link",
        "pipe.jpg": "not a regular file (a folder, pipe or device)",
    }
    assert {p.name: p.read_bytes() for p in files(root) if p.name != "link.jpg"} == before

    assert likeness(portrait, root / "sideways.jpg") > 0.95  # the search would find it
    assert_nothing_of(portrait, files(root), release)
    everything = b"".join(p.read_bytes() for p in files(release)) + str(files(release)).encode()
    for word in ("Zoë", "人", "Case", "sideways", "too wide", str(root), "Ann Example", "Main Street"):
        assert word.encode() not in everything
    sizes = []
    for row in rows(release):
        if row["status"] in ("anonymized", "empty"):
            with Image.open(release / "data" / row["file"]) as picture:
                assert picture.format == {".jpg": "JPEG", ".png": "PNG"}[Path(row["file"]).suffix]
                assert not picture.getexif()
                assert not {"exif", "icc_profile", "xmp", "comment"} & set(picture.info)
                sizes.append(picture.size)
            content = (release / "data" / row["file"]).read_bytes()
            assert b"Exif" not in content
            assert content.count(b"\xff\xd8\xff") == (row["file"].endswith(".jpg"))
    assert sizes.count((512, 320)) == 6  # the one on its side is upright


STAGES = {
    "find": (worker, "_open_finder"),
    "render": (job, "assign_shards"),
    "publish": (job, "_sweep"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_ends_the_run_and_resume_completes_it(
    stage: str,
    source: Path,
    undisturbed: tuple[dict[str, str], Path],
    tmp_path: Path,
    portrait: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, key = undisturbed
    with small_disk(tmp_path / "disk", "8m") as disk:
        release = disk / "release"
        options = ["--detectors", "hog", "--key", key]
        module, name = STAGES[stage]
        original: Callable[..., Any] = getattr(module, name)

        def filled(*arguments: Any) -> Any:
            fill(disk)
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, filled)
            done = anonymize(source, release, *options)
        assert done.code == 2
        assert "the disk is full: free some space" in done.error
        assert str(disk) in done.error
        assert not release.exists()
        assert_nothing_of(portrait, files(source), release)
        (disk / "filler").unlink()
        refused = anonymize(source, release, *options)
        assert refused.code == 2
        assert "--resume" in refused.error
        assert anonymize(source, release, *options, "--resume").code == 0
        assert digest(release) == expected
        assert not release.with_name("release.partial").exists()


def test_a_disk_that_is_full_from_the_start(source: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        fill(disk)
        done = anonymize(source, disk / "release", "--detectors", "hog", "--method", "mask")
        assert done.code == 2
        assert "the disk is full" in done.error
        (disk / "filler").unlink()
        assert anonymize(source, disk / "release", "--detectors", "hog", "--method", "mask", "--resume").code == 0


def test_a_read_only_target(source: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = anonymize(source, disk / "release", "--private", tmp_path / "private")
        assert done.code == 2
        assert "the file system is read-only: name a place that can be written" in done.error
        done = anonymize(source, tmp_path / "release", "--private", disk / "private")
        assert done.code == 2
        assert "the file system is read-only" in done.error
    assert not (tmp_path / "release").exists()


def test_files_that_change_between_the_passes_are_withheld(
    tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "source"
    for name in ("changed", "grown", "vanished", "linked", "same"):
        (root / name).mkdir(parents=True)
        Image.fromarray(portrait).save(root / name / "a.png")
    plan = job.assign_shards

    def disturbed(*arguments: Any) -> Any:
        Image.fromarray(np.roll(portrait, 99, axis=1)).save(root / "changed" / "a.png")
        with (root / "grown" / "a.png").open("ab") as file:
            file.write(b"more")
        (root / "vanished" / "a.png").unlink()
        (root / "linked" / "a.png").rename(tmp_path / "elsewhere.png")
        (root / "linked" / "a.png").symlink_to(tmp_path / "elsewhere.png")
        return plan(*arguments)

    monkeypatch.setattr(job, "assign_shards", disturbed)
    release = tmp_path / "release"
    done = anonymize(root, release, "--detectors", "hog", "--json")
    assert (done.code, done.error) == (3, "")
    assert reasons(release) == {
        "changed/a.png": "the source file changed during the run",
        "grown/a.png": "the source file changed during the run",
        "linked/a.png": "a symbolic link: expected a regular file",
        "vanished/a.png": "the file cannot be read: No such file or directory",
    }
    assert len(files(release / "data")) == len(list((release / "data").iterdir())) == 1
    assert_nothing_of(portrait, [tmp_path / "elsewhere.png", *files(root)], release)


def test_videos_that_change_between_the_passes_are_withheld(
    tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsanon.demo import write_clip

    root = tmp_path / "source"
    root.mkdir()
    for name in ("shorter", "vanished"):
        write_clip(root / f"{name}.mp4", np.hstack([portrait, portrait]))
    plan = job.assign_shards

    def disturbed(*arguments: Any) -> Any:
        (root / "vanished.mp4").unlink()
        data = (root / "shorter.mp4").read_bytes()
        (root / "shorter.mp4").write_bytes(data[: len(data) // 2])
        return plan(*arguments)

    monkeypatch.setattr(job, "assign_shards", disturbed)
    release = tmp_path / "release"
    done = anonymize(root, release, "--detectors", "hog", "--method", "mask", "--limit", 30, "--json", dataset="video")
    assert (done.code, done.error) == (3, "")
    assert done.json()["counts"]["quarantined"] == done.json()["counts"]["samples"] == 30


def test_a_reader_that_fails_costs_one_sample(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsanon.sources import tree

    read = tree.read_photo

    def fragile(root: Path, sample: Any) -> Any:
        if sample.file == "1.png":
            raise TypeError("secret")
        return read(root, sample)

    monkeypatch.setattr(tree, "read_photo", fragile)
    done = anonymize(source, tmp_path / "release", "--method", "mask", "--detectors", "hog", "--json")
    assert done.code == 3
    assert reasons(tmp_path / "release") == {"1.png": "it could not be read (TypeError)"}
    assert done.json()["counts"]["anonymized"] == 2


def test_what_a_killed_run_left_of_a_withheld_sample_is_deleted(
    source: Path, tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "release"
    sweep = job._sweep

    def after_a_kill(data: Path, written: set[str]) -> None:
        (data / "folder" / "inner").mkdir(parents=True)
        Image.fromarray(portrait).save(data / "folder" / "inner" / "a.png")
        (data / ".0123.partial").write_bytes(b"half")
        sweep(data, written)

    monkeypatch.setattr(job, "_sweep", after_a_kill)
    assert anonymize(source, release, "--method", "mask", "--detectors", "hog").code == 0
    assert len(list((release / "data").rglob("*"))) == 4


def test_a_second_run_into_the_same_release_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    release = tmp_path / "release"
    arguments = ["anonymize", "--dataset", "folder", source, release, "--workers", "0", "--method", "mask"]
    second: list[subprocess.CompletedProcess[str]] = []
    plan = job.assign_shards

    def meanwhile(*anything: Any) -> Any:
        command = [sys.executable, "-c", "from dsanon.cli import main; main()", *map(str, arguments), "--resume"]
        second.append(subprocess.run(command, capture_output=True, text=True, timeout=600))
        return plan(*anything)

    monkeypatch.setattr(job, "assign_shards", meanwhile)
    assert dsanon(*arguments, "--detectors", "hog").code == 0
    (refused,) = second
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"process {os.getpid()} on {socket.gethostname()}" in refused.stderr


@pytest.mark.parametrize(("number", "stage"), [(signal.SIGINT, "find"), (signal.SIGTERM, "publish")])
def test_an_interrupted_run_goes_on(
    number: signal.Signals,
    stage: str,
    source: Path,
    undisturbed: tuple[dict[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, key = undisturbed
    module, name = STAGES[stage]
    original: Callable[..., Any] = getattr(module, name)

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), number)
        return original(*arguments)

    release = tmp_path / "release"
    with monkeypatch.context() as patch:
        patch.setattr(module, name, interrupted)
        done = anonymize(source, release, "--detectors", "hog", "--key", key)
    assert done.code == 1
    assert done.error == "dsanon: interrupted: run it again (anonymize and train: with --resume) and it goes on"
    assert not release.exists()
    assert anonymize(source, release, "--detectors", "hog", "--key", key, "--resume").code == 0
    assert digest(release) == expected


def test_too_little_memory(
    source: Path, undisturbed: tuple[dict[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is tried photo by photo; where nothing helps the run ends, and can go on."""
    expected, key = undisturbed
    render = worker.render

    def small(photos: list[np.ndarray], *further: Any) -> Any:
        if len(photos) > 1:
            raise MemoryError
        return render(photos, *further)

    def exhausted(*_: Any) -> Any:
        raise MemoryError

    release = tmp_path / "release"
    monkeypatch.setattr(worker, "render", small)
    with monkeypatch.context() as patch:
        patch.setattr(job, "write_map", exhausted)
        done = anonymize(source, release, "--detectors", "hog", "--key", key)
    told = "dsanon: not enough memory: run it again with fewer --workers (anonymize and train: with --resume, too)"
    assert (done.code, done.error) == (1, told)
    assert not release.exists()
    assert anonymize(source, release, "--detectors", "hog", "--key", key, "--resume").code == 0
    assert digest(release) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fast"], "No such option: --fast"),
        (["--limit", "many"], "--limit"),
        (["--workers", "-2"], "--workers -2"),
    ],
)
def test_bad_options_are_one_line(source: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = anonymize(source, tmp_path / "release", *arguments)
    assert done.code == 2
    assert words in done.error


def test_a_missing_argument_is_one_line() -> None:
    done = dsanon("anonymize")
    assert done.code == 2
    assert "Missing" in done.error
