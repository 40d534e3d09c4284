from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsanon.errors import DsanonError, ReleaseError
from dsanon.manifest import (
    MANIFEST,
    PENDING,
    Counts,
    ManifestRow,
    count,
    hashed,
    merge,
    read_rows,
    to_table,
    write_rows,
)
from dsanon.sample import Status

SHA = "ab" * 32


def face(sample: str, region: int = 0, status: Status = "anonymized", **others: Any) -> ManifestRow:
    values: dict[str, Any] = {
        "sample": sample,
        "file": f"{sample}.jpg",
        "scope": "dataset",
        "status": status,
        "region": region,
        "kind": "face",
        "box": (1.0, 2.0, 30.5, 40.0),
        "subject": f"p{region}",
        "method": "ciagan",
        "model": "0123456789abcdef",
        "output_sha256": SHA,
    }
    return ManifestRow(**{**values, **others})


def nobody(sample: str, status: Status = "empty", **others: Any) -> ManifestRow:
    sha = "" if status == "quarantined" else SHA
    values: dict[str, Any] = {"file": f"{sample}.jpg", "scope": "dataset", "output_sha256": sha}
    return ManifestRow(sample=sample, status=status, **{**values, **others})


def test_schema_is_the_contracts() -> None:
    assert [(field.name, str(field.type)) for field in MANIFEST] == [
        ("sample", "string"),
        ("file", "string"),
        ("scope", "string"),
        ("region", "int32"),
        ("kind", "string"),
        ("box", "list<item: float>"),
        ("subject", "string"),
        ("method", "string"),
        ("model", "string"),
        ("status", "string"),
        ("reason", "string"),
        ("output_sha256", "string"),
    ]
    assert MANIFEST.metadata == {b"dsanon.schema": b"1"}


def test_rows_there_and_back(tmp_path: Path) -> None:
    rows = [face("a"), nobody("b"), nobody("c", "quarantined", reason="cannot be decoded")]
    write_rows(tmp_path / "rows.parquet", rows)
    table = read_rows(tmp_path / "rows.parquet")
    assert table.schema.equals(MANIFEST, check_metadata=True)
    read = [ManifestRow(**{**row, "box": row["box"] and tuple(row["box"])}) for row in table.to_pylist()]
    assert read == rows
    assert table["region"].to_pylist() == [0, None, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "fine"}, "status 'fine' is none of anonymized, fallback"),
        ({"status": "empty"}, "an empty sample has no region"),
        ({"region": -1}, "a region needs a number from 0"),
        ({"kind": "hand"}, "a kind"),
        ({"subject": None}, "a subject"),
        ({"box": None}, "box None"),
        ({"box": (5.0, 2.0, 5.0, 9.0)}, "is not x0 < x1, y0 < y1"),
        ({"box": (5.0, 2.0, 6.0, 1.0)}, "is not x0 < x1, y0 < y1"),
        ({"box": (-1.0, 2.0, 5.0, 9.0)}, "within the picture"),
        ({"box": (1.0, 2.0, float("inf"), 9.0)}, "box"),
        ({"output_sha256": ""}, "is not 64 hexadecimal digits"),
        ({"region": None}, "a sample without a region is empty or quarantined, not anonymized"),
        ({"region": None, "status": "empty"}, "kind, box and subject are of a region"),
    ],
)
def test_a_wrong_row_cannot_be_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DsanonError, match=message):
        dataclasses.replace(face("a"), **changes)


def test_counts_by_hand() -> None:
    rows = [
        face("1", 0, "kept"),
        face("1", 1, "anonymized"),
        face("2", 0, "anonymized"),
        face("2", 1, "fallback", kind="body"),
        face("3", 0, "kept"),
        nobody("4"),
        face("5", 0, "fallback"),
        face("5", 1, "quarantined", output_sha256=""),
        nobody("6", "quarantined"),
    ]
    counts = count(to_table(rows))
    assert counts.by_status() == {"anonymized": 1, "fallback": 1, "kept": 1, "empty": 1, "quarantined": 2}
    assert counts.samples == 6
    assert counts.regions == {
        "face": {"anonymized": 2, "fallback": 1, "kept": 2, "quarantined": 1},
        "body": {"fallback": 1},
    }
    counts.account_for(6)
    with pytest.raises(DsanonError, match=r"accounting: 7 samples came in, 6 are in the manifest \(1 anonymized"):
        counts.account_for(7)
    assert count(MANIFEST.empty_table()) == Counts(regions={})
    unknown = to_table(rows).set_column(9, "status", pa.array(["source"] * 9))
    with pytest.raises(DsanonError, match="9 rows whose status is none of"):
        count(unknown)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["anonymized", "fallback", "kept", "quarantined"]))))
def test_every_sample_counts_once(pairs: list[tuple[str, Status]]) -> None:
    rows = [face(sample, region, status) for region, (sample, status) in enumerate(pairs)]
    counts = count(to_table(rows))
    counts.account_for(len({sample for sample, _ in pairs}))
    assert sum(sum(by.values()) for by in (counts.regions or {}).values()) == len(pairs)


def test_merged_bytes_tell_nothing_of_the_shards(tmp_path: Path) -> None:
    rows = [face(sample, region) for sample in ("b", "a", "c") for region in (2, 0, 1)] + [nobody("d")]
    for name, shards in (
        ("one", [rows]),
        ("three", [rows[7:], rows[:2], rows[2:7]]),
        ("with an empty one", [[], rows]),
    ):
        paths = []
        for index, shard in enumerate(shards):
            paths.append(tmp_path / f"{name} {index}.parquet")
            write_rows(paths[-1], shard)
        assert merge(paths, tmp_path / f"{name}.parquet", tmp_path).samples == 4
    bytes_of_one = (tmp_path / "one.parquet").read_bytes()
    assert bytes_of_one == (tmp_path / "three.parquet").read_bytes()
    assert bytes_of_one == (tmp_path / "with an empty one.parquet").read_bytes()
    keys = [(row["file"], row["region"]) for row in read_rows(tmp_path / "one.parquet").to_pylist()]
    assert keys == [(f"{sample}.jpg", region) for sample in "abc" for region in range(3)] + [("d.jpg", None)]


def test_a_region_twice_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "1", [face("a"), face("a", 1)])
    write_rows(tmp_path / "2", [face("a", 1)])
    with pytest.raises(DsanonError, match="1 regions are in the manifest twice"):
        merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_what_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    pq.write_table(pa.table({"sample": ["a"]}), tmp_path / "other")
    pq.write_table(MANIFEST.empty_table().replace_schema_metadata({"dsanon.schema": "2"}), tmp_path / "later")
    for name, message in (
        ("text", "cannot be read"),
        ("none", "cannot be read"),
        ("other", "schema 1"),
        ("later", "schema 1"),
    ):
        with pytest.raises(ReleaseError, match=message):
            read_rows(tmp_path / name)


def test_a_full_disk_leaves_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.parquet"
    write_rows(path, [face("a")])
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module, function in ((pq.ParquetWriter, "write_table"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(module, function, full)
            with pytest.raises(ReleaseError, match=r"manifest.parquet: the disk is full: free some space") as caught:
                write_rows(path, [face("b")])
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.parquet"]


def test_rows_get_the_hash_of_their_file_when_that_is_written() -> None:
    rows = [
        ManifestRow("a", "a.mp4", "s", "empty", output_sha256=PENDING),
        ManifestRow("b", "b.mp4", "s", "empty", output_sha256=PENDING),
        ManifestRow("c", "c.mp4", "s", "quarantined"),
    ]
    hashes = {"a.mp4": "a" * 64, "b.mp4": "b" * 64}
    table = hashed(to_table(rows), hashes)
    assert table["output_sha256"].to_pylist() == ["a" * 64, "b" * 64, ""]
    assert table.schema.equals(MANIFEST)
    assert hashed(to_table([]), {}).num_rows == 0
    with pytest.raises(DsanonError, match="1 rows of the manifest name a file that was not written"):
        hashed(to_table(rows), {"a.mp4": "a" * 64})
