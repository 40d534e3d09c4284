"""One fault of each kind in a real release, and none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn_images import png
from dsanon_eval.crew import Crew
from dsanon_eval.leaks.scanner import KINDS, Finding, as_measurements, examine
from PIL import Image
from planted import PEOPLE, Made, Row, jpeg, make, photo, pixels_of

from dsanon.errors import KeyFileError, ReleaseError, UsageError
from dsanon.private_map import forget, lookup


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A photo a camera: everybody is somebody else in each of theirs."""
    return make(tmp_path_factory.mktemp("cameras"), scope="camera")


@pytest.fixture
def made(clean: Made, tmp_path: Path) -> Made:
    """A copy to plant something in."""
    return clean.copy(tmp_path)


def first(made: Made) -> tuple[str, Path]:
    """A released photo, relative to RELEASE, and its source."""
    return next(iter(sorted(made.originals().items())))


def kinds(findings: list[Finding], file: str) -> set[str]:
    """What was found, all of it in ``file``."""
    assert {finding.file for finding in findings} == {file}
    return {finding.kind for finding in findings}


def core_of(made: Made, file: str) -> tuple[slice, slice]:
    """Brows to mouth of the photo's only face."""
    (sample,) = {row["sample"] for row in made.rows() if f"data/{row['file']}" == file}
    (row,) = [row for row in lookup(made.release) if row["sample"] == sample]
    points = np.array(row["landmarks"]).reshape(68, 2)[17:]
    (x0, y0), (x1, y1) = points.min(0).round().astype(int) - 4, points.max(0).round().astype(int) + 5
    return slice(y0, y1), slice(x0, x1)


def test_a_clean_release_has_no_finding(clean: Made, cameras: Made) -> None:
    done = examine(clean.release, clean.source, detectors="hog,centerface")
    assert done.findings == ()
    assert done.scanned["pixels"] == done.scanned["assignment"] == sum(PEOPLE.values())
    measured = as_measurements(done.findings, done.scanned)
    assert {m.name for m in measured} == {f"leak_{kind}" for kind in KINDS}
    assert all(m.value == 0 and m.passed and m.n > 0 for m in measured)
    assert cameras.scan() == []


def test_workers_find_what_one_process_finds(cluster: Any, made: Made) -> None:
    file, source = first(made)
    (made.release / file).write_bytes(source.read_bytes())
    alone = made.scan()
    assert {finding.kind for finding in alone} == {"pixels", "manifest"}
    with Crew(2) as crew:
        assert made.scan(crew=crew) == alone


def test_an_untouched_face(made: Made) -> None:
    file, source = first(made)
    (made.release / file).write_bytes(jpeg(pixels_of(source), quality=75))
    made.rewrite(lambda rows: None)
    findings = made.scan()
    assert kinds(findings, file) == {"pixels"}
    assert "still there" in findings[0].message


def test_half_of_a_face_is_found_by_its_eyes(made: Made) -> None:
    file, source = first(made)
    released, original = pixels_of(made.release / file), pixels_of(source)
    rows, columns = core_of(made, file)
    released[rows, columns] = original[rows, columns]
    (made.release / file).write_bytes(jpeg(released))
    made.rewrite(lambda rows: None)
    assert kinds(made.scan(), file) == {"pixels"}


def test_a_face_pasted_back_40_pixels_off(made: Made) -> None:
    file, source = first(made)
    released, original = pixels_of(made.release / file), pixels_of(source)
    rows, columns = core_of(made, file)
    away = slice(rows.start + 40, rows.stop + 40)
    released[away, columns] = original[rows, columns]
    (made.release / file).write_bytes(jpeg(released, quality=75))
    made.rewrite(lambda rows: None)
    (finding,) = made.scan()
    assert (finding.kind, finding.file) == ("pixels", file)
    assert "(+0, +40) pixels away" in finding.message


def test_a_face_that_nobody_treated(made: Made) -> None:
    """In the corner of a photo, small, where the manifest knows of nobody."""
    file, _ = first(made)
    released = pixels_of(made.release / file)
    released[160:250, 0:90] = np.asarray(Image.fromarray(photo(0)).resize((90, 90)))
    (made.release / file).write_bytes(jpeg(released))
    made.rewrite(lambda rows: None)
    (finding,) = made.scan(detectors="centerface")
    assert (finding.kind, finding.file) == ("pixels", file)
    assert "untouched face" in finding.message


def test_another_photo_in_its_place(made: Made) -> None:
    """Of the same size, and mirrored: nothing of the photo's own source is in it."""
    (file,) = [file for file, source in made.originals().items() if source.name == "Ann_Example_0001.jpg"]
    other = made.source / "lfw" / "Ann_Example" / "Ann_Example_0002.jpg"
    (made.release / file).write_bytes(jpeg(pixels_of(other), quality=90))
    made.rewrite(lambda rows: None)
    findings = made.scan()
    assert kinds(findings, file) == {"pixels"}
    assert any("another sample" in finding.message for finding in findings)


def test_an_exif_thumbnail(made: Made) -> None:
    file, source = first(made)
    thumbnail = jpeg(np.asarray(Image.open(source).resize((64, 64))))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    content = (made.release / file).read_bytes()
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (made.release / file).write_bytes(content[:2] + segment + content[2:])
    made.rewrite(lambda rows: None)
    findings = made.scan()
    assert kinds(findings, file) == {"metadata"}
    assert {f.message.split(" (")[0].split(":")[0] for f in findings} == {"EXIF or XMP", "an embedded thumbnail"}


@pytest.mark.parametrize("name", ["Ann_Example", "ann example", "AnnExample", "Planted", "Bo-Planted_0002"])
def test_a_name_in_a_path(made: Made, name: str) -> None:
    file, _ = first(made)
    renamed = f"data/lfw/{name}/{Path(file).name}"
    (made.release / renamed).parent.mkdir()
    (made.release / file).rename(made.release / renamed)
    os.utime(made.release / renamed, (1, 1))

    def rename(rows: list[Row]) -> None:
        for row in rows:
            if f"data/{row['file']}" == file:
                row["file"] = renamed.removeprefix("data/")

    made.rewrite(rename)
    findings = made.scan()
    assert ("name", renamed) in {(finding.kind, finding.file) for finding in findings}
    assert {finding.file for finding in findings} <= {renamed, "manifest.parquet"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("CARD.md", "\nThanks to Ann Example.\n"),
        ("data/people.txt", "Nobody\t1\n"),
        ("data/people.txt", '{"who": "Ann\\u005fExample"}'),
        ("release.json", None),
    ],
)
def test_a_name_in_a_text(made: Made, file: str, text: str | None) -> None:
    path = made.release / file
    path.write_text(path.read_text() + text if text else path.read_text().replace("{", f'{{"at": "{made.source}",', 1))
    assert kinds(made.scan(), file) == {"name"}


def test_a_swapped_pair_of_subjects(made: Made) -> None:
    swapped: list[str] = []

    def swap(rows: list[Row]) -> None:
        one = rows[0]
        other = next(row for row in rows if row["subject"] != one["subject"])
        one["subject"], other["subject"] = other["subject"], one["subject"]
        swapped.extend(f"data/{row['file']}" for row in (one, other))

    made.rewrite(swap)
    findings = made.scan()
    assert {finding.file for finding in findings} == set(swapped)
    assert {finding.kind for finding in findings} == {"assignment"}
    assert all("swapped" in finding.message for finding in findings)


def test_a_control_vector_shared_across_cameras(cameras: Made, tmp_path: Path) -> None:
    made = cameras.copy(tmp_path)
    there = [row for row in lookup(made.release) if row["source_subject"] == "Ann_Example"]
    assert len({row["scope"] for row in there}) == 3

    def share(rows: list[Row]) -> None:
        one, other, *_ = [row for row in rows if row["source_subject"] == "Ann_Example"]
        other["control_ids"], other["control_weights"] = one["control_ids"], one["control_weights"]

    made.rewrite_map(share)
    (finding,) = made.scan()
    (file,) = [f"data/{row['file']}" for row in made.rows() if row["sample"] == sorted(r["sample"] for r in there)[1]]
    assert (finding.kind, finding.file) == ("assignment", file)
    assert "same control vector in two scopes" in finding.message


def test_two_people_with_one_control_vector(made: Made) -> None:
    def share(rows: list[Row]) -> None:
        vectors = {row["source_subject"]: (row["control_ids"], row["control_weights"]) for row in rows}
        for row in rows:
            if row["source_subject"] == "Bo_Planted":
                row["control_ids"], row["control_weights"] = vectors["Ann_Example"]

    made.rewrite_map(share)
    findings = made.scan()
    assert {finding.kind for finding in findings} == {"assignment"}
    assert all("two subjects of a scope share a control vector" in finding.message for finding in findings)


@pytest.mark.parametrize(("algorithm", "digits"), [("sha256", 64), ("sha256", 16), ("sha1", 40), ("md5", 32)])
def test_a_hash_of_an_original_in_the_manifest(made: Made, algorithm: str, digits: int) -> None:
    import hashlib

    _, source = first(made)
    digest = hashlib.new(algorithm, source.read_bytes()).hexdigest()[:digits]
    made.rewrite(lambda rows: rows[0].update(reason=f"from {digest}"))
    assert kinds(made.scan(), "manifest.parquet") == {"hash"}


def test_a_column_of_hashes(made: Made) -> None:
    import hashlib

    path = made.release / "manifest.parquet"
    table = pq.read_table(path)
    _, source = first(made)
    raw = [hashlib.sha256(source.read_bytes()).digest()] * table.num_rows
    pq.write_table(table.append_column("source", pa.array(raw, pa.binary(32))), path)
    assert kinds(made.scan(), "manifest.parquet") == {"hash", "manifest"}


def test_times_in_the_source_s_order(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three people could be in order by chance, so that more is asked for; here the bound is lowered for them."""
    from dsanon_eval.leaks import manifest as leak_manifest

    for number, (file, _) in enumerate(sorted(made.originals().items(), key=lambda pair: pair[1])):
        os.utime(made.release / file, (1000 + number, 1000 + number))
    assert made.scan() == []
    monkeypatch.setattr(leak_manifest, "PERFECT", 3)
    assert "the files' times follow" in " ".join(
        f.message for f in made.scan() if (f.kind, f.file) == ("order", "data")
    )


def test_the_source_s_time(made: Made) -> None:
    file, source = first(made)
    state = source.stat()
    os.utime(made.release / file, ns=(state.st_mtime_ns, state.st_mtime_ns))
    assert kinds(made.scan(), file) == {"metadata"}


def test_what_nothing_accounts_for(made: Made) -> None:
    file, _ = first(made)
    (made.release / "data" / "lfw" / "p0.jpg").write_bytes((made.release / file).read_bytes())
    (made.release / "data" / "lfw" / "Thumbs.db").write_bytes(b"x")
    (made.release / "notes.txt").write_text("x")
    (made.release / file).unlink()
    assert {(f.kind, f.file) for f in made.scan()} == {
        ("manifest", "data/lfw/p0.jpg"),
        ("file", "data/lfw/Thumbs.db"),
        ("file", "notes.txt"),
        ("manifest", file),
    }


def test_counts_and_statuses_that_are_not_true(made: Made) -> None:
    made.rewrite(lambda rows: rows[0].update(status="kept", method=""))
    assert kinds(made.scan(), "release.json") == {"manifest"}


def test_pictures_under_other_names_and_in_other_places(made: Made) -> None:
    """Neither below audit/, where no figure of that kind is drawn, nor called a text."""
    _, source = first(made)
    data = source.read_bytes()
    (made.release / "audit" / "figures").mkdir(parents=True, exist_ok=True)
    planted = ["audit/faces.png", "audit/figures/more/faces.png", "data/notes.txt", "data/lfw/clip.json"]
    for file in planted:
        (made.release / file).parent.mkdir(exist_ok=True)
        (made.release / file).write_bytes(data)
    (made.release / "audit" / "report.json").write_text("{}")
    found = {(f.kind, f.file) for f in made.scan()}
    assert {("file", file) for file in planted} <= found
    assert not any(file == "audit/report.json" for _, file in found)


def test_hostile_files(made: Made, tmp_path: Path) -> None:
    """A bomb, a stump, a link that leads out, a pipe, an endless line, tables that are none: findings, and no more."""
    file, source = first(made)
    folder = made.release / "data" / "lfw"
    (folder / "bomb.png").write_bytes(png(20_000, 20_000, 8, b""))
    (made.release / file).write_bytes((made.release / file).read_bytes()[:3000])
    (folder / "out.jpg").symlink_to(source)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "long.txt").write_bytes(b"a" * 3_000_000)
    (made.release / "manifest.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    found = {(f.kind, f.file) for f in made.scan()}
    assert {("manifest", "manifest.parquet"), ("metadata", file), ("file", "data/lfw/out.jpg")} <= found
    assert ("file", "data/lfw/pipe.jpg") in found
    assert ("manifest", "data/lfw/bomb.png") in found


def test_a_bomb_that_the_manifest_knows_is_not_decoded(made: Made) -> None:
    file, _ = first(made)
    (made.release / file).write_bytes(png(20_000, 20_000, 8, b""))
    made.rewrite(lambda rows: None)
    findings = made.scan()
    assert {(f.kind, f.file, f.message.split(":")[0]) for f in findings} == {("file", file, "cannot be decoded")}


@pytest.mark.parametrize("box", [(1e6, 0.0, 2e6, 9.0), (0.0, 0.0, 1e9, 1e9), (0.0, 0.0, 1e-6, 1e-6)])
def test_boxes_that_are_no_faces(made: Made, box: tuple[float, float, float, float]) -> None:
    made.rewrite(lambda rows: rows[0].update(box=box))
    file = f"data/{made.rows()[0]['file']}"
    assert {(f.kind, f.file) for f in made.scan()} <= {("manifest", file)}
    assert bool(made.scan()) == (box[0] > 250)


def test_no_message_tells_of_the_source(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings are published in the release: they must not leak what they found."""
    for file, source in made.originals().items():
        (made.release / file).write_bytes(source.read_bytes())
    (made.release / "data" / "people.txt").write_text("Ann_Example\t3\n")
    findings = made.scan()
    assert {f.kind for f in findings} >= {"pixels", "manifest", "name"}
    told = " ".join(f"{f.file} {f.message}" for f in findings).casefold()
    for secret in secrets(made):
        assert secret.casefold() not in told
    assert capsys.readouterr() == ("", "")


def secrets(made: Made) -> Iterator[str]:
    yield str(made.source)
    for row in lookup(made.release):
        yield from (row["source_subject"], row["source_file"], row["source_sha256"][:16])
        yield from row["source_subject"].split("_")[1:]


def test_without_source_or_key_the_rest_is_looked_at(made: Made) -> None:
    file, source = first(made)
    (made.release / file).write_bytes(jpeg(pixels_of(source), comment=b"x"))
    done = examine(made.release, None, detectors="")
    assert {(f.kind, f.file) for f in done.findings} == {("metadata", file), ("manifest", file)}
    assert done.scanned["pixels"] == done.scanned["name"] == 0
    forget(made.release)
    done = examine(made.release, made.source, detectors="")
    assert done.scanned["assignment"] == 0
    assert {(f.kind, f.file) for f in done.findings} == {("metadata", file), ("manifest", file)}
    assert "leak_assignment" not in {m.name for m in as_measurements(done.findings, done.scanned)}


def test_bad_usage(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no release"):
        examine(tmp_path)
    with pytest.raises(UsageError, match="SOURCE"):
        examine(made.release, tmp_path / "nothing")
    with pytest.raises(ReleaseError, match="does not exist"):
        examine(made.release, made.source, tmp_path / "nothing")
    (made.private / "key").write_text("ab" * 32)
    with pytest.raises(KeyFileError, match="does not fit"):
        made.scan()
