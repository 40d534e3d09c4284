"""Decisions of a review applied to a finished release: what was decided changes, all else stays byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited_release import make_release
from PIL import Image

from dsanon import job, release, shards
from dsanon.demo import portrait
from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows
from dsanon.private_map import lookup
from dsanon.review import Decision, Review, manifest_digest, read_review, write_review
from runs import Done, anonymize, assert_nothing_of, digest, run


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleasePaths:
    """A release of three shards: two portraits and a wall."""
    monkeypatch.setattr(shards, "CHUNK", 1)
    return make_release(tmp_path, "blur")


def regions(paths: ReleasePaths) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_rows(paths.release / "manifest.parquet").to_pylist()
    return [row for row in rows if row["region"] is not None]


def decide(paths: ReleasePaths, *decisions: Decision) -> Path:
    file = paths.release.with_name("review.json")
    write_review(file, Review(manifest_digest(paths.release), tuple(sorted(decisions))))
    return file


def apply(paths: ReleasePaths, file: Path, *options: object, method: str = "blur") -> Done:
    source = paths.release.parent / "source"
    given = ("--method", method, "--detectors", "hog", "--resume", "--review", file)
    return anonymize(source, paths.release, *given, *options)


def test_mask_covers_one_region_and_leaves_the_rest(paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = regions(paths)
    before = digest(paths.release)
    seen: dict[str, int] = {}
    run = job._run
    monkeypatch.setattr(
        job, "_run", lambda e, stage, todo, *rest: (seen.update({stage: len(todo)}), run(e, stage, todo, *rest))
    )
    done = apply(paths, decide(paths, Decision(first["sample"], 0, "mask"), Decision(second["sample"], 0, "accept")))
    assert done.code == 0, done.error
    assert seen == {"find": 1, "link": 0, "render": 1}  # one shard of three is found and rendered again
    masked, other = regions(paths)
    assert (masked["status"], masked["method"], masked["reason"]) == ("fallback", "mask", "masked by a reviewer")
    assert other == second
    after = digest(paths.release)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"data/{first['file']}", "manifest.parquet", "release.json", "CARD.md"}
    x0, y0, x1, y1 = map(round, masked["box"])
    with Image.open(paths.release / "data" / first["file"]) as image:
        face = np.asarray(image.convert("RGB"))[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4]
    assert face.std() < 3  # flat, but for the codec


def test_drop_withholds_the_sample_for_good(paths: ReleasePaths) -> None:
    first, second = regions(paths)
    source = paths.release.parent / "source"
    assert apply(paths, decide(paths, Decision(first["sample"], 0, "drop"))).code == 3
    assert not (paths.release / "data" / first["file"]).exists()
    rows = read_rows(paths.release / "manifest.parquet").to_pylist()
    dropped = next(row for row in rows if row["sample"] == first["sample"])
    assert (dropped["status"], dropped["reason"]) == ("quarantined", "dropped by a reviewer")
    assert first["sample"] not in {row["sample"] for row in lookup(paths.release)}
    # a second review adds to the first, and accepting brings nothing back
    assert apply(paths, decide(paths, Decision(second["sample"], 0, "mask"))).code == 3
    assert not (paths.release / "data" / first["file"]).exists()
    assert [row["reason"] for row in regions(paths)] == ["masked by a reviewer"]
    assert apply(paths, decide(paths, Decision(second["sample"], 0, "accept"))).code == 3
    assert [row["reason"] for row in regions(paths)] == ["masked by a reviewer"]
    assert_nothing_of(portrait(), [source / "a.jpg", source / "b.png"], paths.release)
    kept = {(d.sample, d.verdict) for d in read_review(paths.applied).decisions}
    assert kept == {(first["sample"], "drop"), (second["sample"], "mask")}
    assert paths.applied.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("how", ["lost", "source", "link"])
def test_a_file_that_is_not_what_was_released_is_not_taken_over(paths: ReleasePaths, how: str) -> None:
    first, second = regions(paths)
    file, source = paths.release / "data" / second["file"], paths.release.parent / "source"
    shown = source / ("a.jpg" if file.suffix == ".jpg" else "b.png")
    released = file.read_bytes()
    file.unlink()
    if how == "source":
        file.write_bytes(shown.read_bytes())
    elif how == "link":
        (file.parent.parent.parent / "aside").write_bytes(released)
        file.symlink_to(file.parent.parent.parent / "aside")
    refused = apply(paths, decide(paths, Decision(first["sample"], 0, "mask")))
    assert (refused.code, "is lost or was altered since the release was made" in refused.error) == (2, True)
    assert [row["status"] for row in regions(paths)] == ["anonymized"] * 2


def test_a_file_in_the_place_of_a_withheld_sample_is_not_taken_over(paths: ReleasePaths) -> None:
    first, second = regions(paths)
    assert apply(paths, decide(paths, Decision(first["sample"], 0, "drop"))).code == 3
    source = paths.release.parent / "source"
    file = paths.release / "data" / first["file"]
    file.write_bytes((source / ("a.jpg" if file.suffix == ".jpg" else "b.png")).read_bytes())
    assert apply(paths, decide(paths, Decision(second["sample"], 0, "mask"))).code == 3
    assert not file.exists()


def test_other_people_keep_their_fake_identities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_release(tmp_path, "ciagan")  # one shard: the other portrait is painted again
    first, second = regions(paths)
    before = digest(paths.release)
    was = [row for row in lookup(paths.release) if row["sample"] == second["sample"]]
    assert apply(paths, decide(paths, Decision(first["sample"], 0, "mask")), method="ciagan").code == 0
    after = digest(paths.release)
    assert after[f"data/{second['file']}"] == before[f"data/{second['file']}"]
    assert [row for row in lookup(paths.release) if row["sample"] == second["sample"]] == was
    # once more: whoever was masked has no fake identity any more, and needs none
    assert apply(paths, decide(paths, Decision(second["sample"], 0, "drop")), method="ciagan").code == 3
    rows = read_rows(paths.release / "manifest.parquet").to_pylist()
    reasons = {row["sample"]: row["reason"] for row in rows if row["status"] != "empty"}
    assert reasons == {first["sample"]: "masked by a reviewer", second["sample"]: "dropped by a reviewer"}


def test_made_afresh_it_says_that_no_decision_holds(paths: ReleasePaths) -> None:
    first, _ = regions(paths)
    assert apply(paths, decide(paths, Decision(first["sample"], 0, "mask"))).code == 0
    source = paths.release.parent / "source"
    code, _, error = run("anonymize", "--dataset", "folder", source, paths.release, "--method", "blur",
                         "--detectors", "hog", "--workers", 0, "--overwrite")  # fmt: skip
    assert code in (None, 0)
    assert "no decision of theirs holds for this one" in error
    assert not paths.applied.exists()


def test_cut_off_it_goes_on(paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = regions(paths)
    before = digest(paths.release)
    file = decide(paths, Decision(first["sample"], 0, "drop"))
    finish = job._finish
    monkeypatch.setattr(job, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert apply(paths, file).code == 1
    assert digest(paths.release) == before  # the finished release is as it was
    monkeypatch.setattr(job, "_finish", finish)
    refused = apply(paths, decide(paths, Decision(first["sample"], 0, "mask")))
    assert "have changed: review" in refused.error
    assert apply(paths, decide(paths, Decision(first["sample"], 0, "drop"))).code == 3
    assert not (paths.release / "data" / first["file"]).exists()


def test_cut_off_in_the_exchange_no_decision_is_lost(paths: ReleasePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The private side tells of them already, and the release that is still there was made without."""
    first, _ = regions(paths)
    file, rename = decide(paths, Decision(first["sample"], 0, "drop")), release._publish_private

    def killed(paths: ReleasePaths) -> None:
        rename(paths)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(release, "_publish_private", killed)
        assert apply(paths, file).code == 1
    assert (paths.release / "data" / first["file"]).exists()
    for done in paths.staging.glob("*.done.json"):
        done.unlink()
    assert apply(paths, file).code == 3
    assert not (paths.release / "data" / first["file"]).exists()


def test_what_does_not_belong_together_is_refused(paths: ReleasePaths) -> None:
    first, _ = regions(paths)
    before = digest(paths.release)
    file = decide(paths, Decision(first["sample"], 0, "mask"))
    refused = apply(paths, file, "--kernel", 21)
    assert (refused.code, "other options" in refused.error) == (2, True)
    assert digest(paths.release) == before
    elsewhere = decide(paths, Decision(first["sample"], 7, "mask"))
    assert "there is none" in apply(paths, elsewhere).error
    stored = json.loads(file.read_text())
    file.write_text(json.dumps(stored | {"manifest_sha256": "0" * 64, "decisions": []}))
    assert "another state" in apply(paths, file).error
    file.write_text(json.dumps(stored | {"decisions": [{"sample": "x", "region": 0, "verdict": "publish"}]}))
    assert "verdict of accept, mask, drop" in apply(paths, file).error
    assert "does not exist" in apply(paths, file.with_name("none.json")).error
    source = paths.release.parent / "source"
    assert "goes with --resume" in anonymize(source, paths.release, "--review", file).error
    assert digest(paths.release) == before
