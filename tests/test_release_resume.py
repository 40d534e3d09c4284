"""Interrupted runs go on where they stopped; an old release stays until the new one is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_release import ENTRIES, fill, interrupt, make, tree

from dsanon.errors import KeyFileError, ReleaseError
from dsanon.layout import ReleasePaths
from dsanon.release import open_release, publish


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
