"""Source and release side by side: on the private side, for the owner's eyes, and gone with the key."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import av
import numpy as np
import pytest
from dsanon_eval.review.compare import _spread
from dsanon_eval.utility import temporal
from PIL import Image

from dsanon.layout import ReleasePaths
from runs import anonymize, digest, dsanon, likeness


@pytest.fixture(scope="module")
def stills(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ReleasePaths:
    folder = tmp_path_factory.mktemp("stills")
    (folder / "source").mkdir()
    for number in range(3):
        Image.fromarray(np.roll(portrait, 8 * number, axis=1)).save(folder / "source" / f"{number}.png")
    return released(folder, "folder")


@pytest.fixture(scope="module")
def clip(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ReleasePaths:
    folder = tmp_path_factory.mktemp("clip")
    (folder / "source").mkdir()
    with av.open(str(folder / "source" / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = *portrait.shape[:2], "yuv420p"
        for _ in range(4):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(portrait, format="rgb24")))
        out.mux(stream.encode(None))
    return released(folder, "video")


def released(folder: Path, dataset: str) -> ReleasePaths:
    done = anonymize(folder / "source", folder / "out", "--method", "mask", "--detectors", "hog", dataset=dataset)
    assert done.code == 0, done.error
    return ReleasePaths.of(folder / "source", folder / "out")


def private(paths: ReleasePaths) -> list[Path]:
    files = sorted(paths.compare.iterdir())
    assert stat.S_IMODE(paths.compare.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    return files


def assert_both_halves(portrait: np.ndarray, picture: np.ndarray, tmp_path: Path) -> None:
    """Red above; below it the source's eyes on the left, and none on the right."""
    assert (np.median(picture[2:6], axis=(0, 1)) - (200, 0, 0)).max() < 20
    for half, there in ((picture[:, : picture.shape[1] // 2], True), (picture[:, picture.shape[1] // 2 :], False)):
        file = tmp_path / "half.png"
        Image.fromarray(half).resize((512, round(half.shape[0] * 512 / half.shape[1]))).save(file)
        assert (likeness(portrait, file) > 0.8) == there


def test_a_sheet_of_stills(stills: ReleasePaths, portrait: np.ndarray, tmp_path: Path) -> None:
    before = digest(stills.release)
    done = dsanon("compare", stills.release.parent / "source", stills.release, "--samples", 1)
    assert done.code == 0, done.error
    (sheet,) = private(stills)
    assert done.out == f"open     {sheet} (it shows source faces: never publish it)\n"
    with Image.open(sheet) as picture:
        assert_both_halves(portrait, np.array(picture), tmp_path)
    assert digest(stills.release) == before
    assert dsanon("compare", stills.release.parent / "source", stills.release).code == 0
    with Image.open(sheet) as picture:
        assert picture.width > 2 * 2 * 320


@pytest.mark.parametrize("dataset", ["stills", "clip"])
def test_a_key_that_was_moved_is_named(dataset: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """And temporal figures, which read the same pairs, are taken with it."""
    paths: ReleasePaths = request.getfixturevalue(dataset)
    source, moved = paths.release.parent / "source", tmp_path / "key"
    shutil.move(paths.key, moved)
    try:
        refused = dsanon("compare", source, paths.release)
        assert (refused.code, "key" in refused.error, "\n" in refused.error) == (2, True, False)
        assert dsanon("compare", source, paths.release, "--key", moved).code == 0
        temporal.measure(paths.release, source, paths.private, key=moved)
    finally:
        shutil.move(moved, paths.key)


def test_a_clip_of_a_video(clip: ReleasePaths, portrait: np.ndarray, tmp_path: Path) -> None:
    assert dsanon("compare", clip.release.parent / "source", clip.release).code == 0
    (file,) = private(clip)
    with av.open(str(file)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 10
    assert len(frames) == 4
    assert_both_halves(portrait, frames[0], tmp_path)
    wrong = dsanon("compare", clip.release.parent / "source", clip.release, "--sequence", "b.mp4")
    assert wrong.code == 2
    assert "'b.mp4' is not in" in wrong.error


def test_it_never_lies_inside_the_release(stills: ReleasePaths, tmp_path: Path) -> None:
    copy = ReleasePaths.of(None, tmp_path / "out")
    shutil.copytree(stills.release, copy.release)
    shutil.copytree(stills.private, copy.private)
    source = stills.release.parent / "source"
    inside = dsanon("compare", source, copy.release, "--private", copy.release / "audit")
    assert inside.code == 2
    assert "must lie elsewhere" in inside.error
    shutil.rmtree(copy.compare, ignore_errors=True)
    copy.compare.symlink_to(copy.release)
    linked = dsanon("compare", source, copy.release)
    assert linked.code == 2
    assert "leads elsewhere" in linked.error
    assert digest(copy.release) == digest(stills.release)
    copy.compare.unlink()
    for options, message in ((("--samples", 0), "expected 1 or more"), (("--sequence", "x"), "has no sequences")):
        refused = dsanon("compare", source, copy.release, *options)
        assert refused.code == 2
        assert message in refused.error
    assert dsanon("compare", source, copy.release).code == 0
    assert dsanon("forget", copy.release).code == 0
    assert not copy.compare.exists()
    assert dsanon("compare", source, copy.release).code == 2


def test_samples_are_spread_evenly() -> None:
    assert _spread(10, 5) == [0, 2, 4, 6, 8]
    assert _spread(3, 12) == [0, 1, 2]
    assert _spread(0, 3) == []
