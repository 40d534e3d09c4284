from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsanon import private_map
from dsanon.durable import write_json
from dsanon.errors import DsanonError, KeyFileError, ReleaseError
from dsanon.key import create_key, key_check, load_key
from dsanon.lock import owned
from dsanon.private_map import (
    IDENTITY_MAP,
    QUARANTINE,
    MapRow,
    QuarantineRow,
    forget,
    lookup,
    read_map,
    read_map_rows,
    read_quarantine,
    staged_map_rows,
    write_map,
    write_map_rows,
    write_quarantine,
)

KEY = b"k" * 32
LANDMARKS = tuple(float(value) for value in range(136))


def row(sample: str, region: int = 0, who: str | None = "Aaron_Eckhart", subject: str = "p1") -> MapRow:
    return MapRow(
        sample=sample,
        region=region,
        source_file=f"{who}/{who}_0001.jpg",
        source_sha256="ab" * 32,
        source_subject=who,
        subject=subject,
        scope="dataset",
        control_ids=(3, 7),
        control_weights=(0.375, 0.625),
        landmarks=LANDMARKS,
        transform=(1.0, 0.0, 2.5, 0.0, 1.0, -3.0),
        detector="annotation+hog",
        score=0.5,
    )


ROWS = [row("s2", 1, "Bob_Dole", "p2"), row("s1"), row("s2", 0), row("s3", 0, None, "p3")]


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """The private side of a finished release ``tmp_path/lfw``."""
    folder = tmp_path / "lfw.private"
    key = create_key(folder / "key")
    write_map(folder / "identity_map.parquet", ROWS, key)
    write_quarantine(folder / "quarantine.parquet", [QuarantineRow("s9", "x/y.jpg", "cannot be decoded", "cd" * 32)])
    write_json(folder / "made.json", {"schema": 1, "release": str(tmp_path / "lfw"), "key": str(folder / "key")}, 0o600)
    return folder


def test_schemas_are_the_contracts() -> None:
    assert [(field.name, str(field.type)) for field in IDENTITY_MAP] == [
        ("sample", "string"),
        ("region", "int32"),
        ("source_file", "string"),
        ("source_sha256", "string"),
        ("source_subject", "string"),
        ("subject", "string"),
        ("scope", "string"),
        ("control_ids", "list<item: int32>"),
        ("control_weights", "list<item: float>"),
        ("landmarks", "list<item: float>"),
        ("transform", "list<item: float>"),
        ("detector", "string"),
        ("score", "float"),
    ]
    assert QUARANTINE.names == ["sample", "source_file", "reason", "source_sha256"]


def test_the_map_there_and_back_and_nothing_of_it_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "map.parquet"
    write_map(path, ROWS, KEY)
    table = read_map(path, KEY)
    assert table.schema.equals(IDENTITY_MAP, check_metadata=True)
    assert table.to_pylist()[1] == {
        "sample": "s1",
        "region": 0,
        "source_file": "Aaron_Eckhart/Aaron_Eckhart_0001.jpg",
        "source_sha256": "ab" * 32,
        "source_subject": "Aaron_Eckhart",
        "subject": "p1",
        "scope": "dataset",
        "control_ids": [3, 7],
        "control_weights": [0.375, 0.625],
        "landmarks": list(LANDMARKS),
        "transform": [1.0, 0.0, 2.5, 0.0, 1.0, -3.0],
        "detector": "annotation+hog",
        "score": 0.5,
    }
    sealed = path.read_bytes()
    assert sealed[:4] == b"PARE", "the footer is encrypted, too"
    for secret in (b"Eckhart", b"source_file", b"annotation", b"landmarks"):
        assert secret not in sealed
    with pytest.raises(OSError, match=r"encrypted|decrypt"):
        pq.read_table(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_map_is_never_like_another(tmp_path: Path) -> None:
    """A fresh file key each time: two releases of one source cannot be compared."""
    for name in "ab":
        write_map(tmp_path / name, ROWS, KEY)
    assert (tmp_path / "a").read_bytes()[100:300] != (tmp_path / "b").read_bytes()[100:300]


def test_wrong_key(tmp_path: Path) -> None:
    write_map(tmp_path / "map", ROWS, KEY)
    with pytest.raises(KeyFileError, match="the key does not fit this identity map") as caught:
        read_map(tmp_path / "map", b"l" * 32)
    assert "\n" not in str(caught.value)


def test_no_altered_byte_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "map"
    write_map(path, ROWS, KEY)
    good = path.read_bytes()
    table = read_map(path, KEY)
    refused = 0
    for position in range(0, len(good), 7):
        altered = bytearray(good)
        altered[position] ^= 1
        path.write_bytes(altered)
        try:
            # A few bytes carry nothing (of the length of a length); then the table must be the true one.
            assert read_map(path, KEY).equals(table)
        except DsanonError:
            refused += 1
    assert refused > 0.9 * len(range(0, len(good), 7))
    path.write_bytes(good[:-40])
    with pytest.raises(ReleaseError, match="damaged or was altered"):
        read_map(path, KEY)


def test_a_forged_map_in_clear_is_not_believed(tmp_path: Path) -> None:
    write_map_rows(tmp_path / "map", ROWS)
    with pytest.raises(ReleaseError, match="damaged or was altered"):
        read_map(tmp_path / "map", KEY)


def test_staged_rows_and_quarantine(tmp_path: Path) -> None:
    write_map_rows(tmp_path / "1", ROWS[:3])
    write_map_rows(tmp_path / "2", ROWS[3:])
    table = pa.concat_tables(read_map_rows([tmp_path / "2", tmp_path / "1"], tmp_path))
    assert [(item["sample"], item["region"]) for item in table.to_pylist()] == [
        ("s1", 0),
        ("s2", 0),
        ("s2", 1),
        ("s3", 0),
    ]
    assert next(read_map_rows([], tmp_path)).schema.equals(IDENTITY_MAP)
    write_map(tmp_path / "map", iter([table]), KEY)
    assert read_map(tmp_path / "map", KEY).equals(table)
    write_quarantine(tmp_path / "q", [QuarantineRow("s9", "x/y.jpg", "symbolic link", "")])
    assert read_quarantine(tmp_path / "q").to_pylist() == [
        {"sample": "s9", "source_file": "x/y.jpg", "reason": "symbolic link", "source_sha256": ""}
    ]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_lookup(tmp_path: Path, private: Path) -> None:
    rows = lookup(tmp_path / "lfw")
    assert [item["sample"] for item in rows] == ["s2", "s1", "s2", "s3"]
    assert json.loads(json.dumps(rows)) == rows
    assert [item["subject"] for item in lookup(tmp_path / "lfw", subject="p2")] == ["p2"]
    assert [item["sample"] for item in lookup(tmp_path / "lfw", subject="Aaron_Eckhart")] == ["s1", "s2"]
    assert lookup(tmp_path / "lfw", subject="nobody") == []
    moved = private.rename(tmp_path / "safe")
    with pytest.raises(
        ReleaseError, match=r"lfw.private does not exist: is .*lfw the release\? Name its private side with --private"
    ):
        lookup(tmp_path / "lfw")
    assert len(lookup(tmp_path / "lfw", moved)) == 4
    (moved / "key").rename(tmp_path / "key")
    assert len(lookup(tmp_path / "lfw", moved, tmp_path / "key")) == 4
    with pytest.raises(KeyFileError, match="does not exist: name the key"):
        lookup(tmp_path / "lfw", moved)


def test_forget(tmp_path: Path, private: Path) -> None:
    (private / "staging").mkdir()
    write_map_rows(private / "staging" / "rows.parquet", ROWS)
    assert forget(tmp_path / "lfw") == private / "key"
    with pytest.raises(KeyFileError, match="was destroyed by `dsanon forget`"):
        lookup(tmp_path / "lfw")
    with pytest.raises(KeyFileError, match="was destroyed by `dsanon forget`"):
        forget(tmp_path / "lfw")
    # Nothing that is left on the private side names a person or a source file in clear.
    assert {path.name for path in private.iterdir()} == {"identity_map.parquet", "key.destroyed", "made.json"}
    left = b"".join(path.read_bytes() for path in private.iterdir())
    assert b"Eckhart" not in left
    assert b"y.jpg" not in left


def test_a_key_elsewhere_is_found_but_never_destroyed_unnamed(tmp_path: Path, private: Path) -> None:
    key = tmp_path / "keys" / "mine"
    key.parent.mkdir()
    (private / "key").rename(key)
    write_json(private / "made.json", {"schema": 1, "release": str(tmp_path / "lfw"), "key": str(key)}, 0o600)
    assert len(lookup(tmp_path / "lfw")) == 4
    with pytest.raises(KeyFileError, match="may serve other releases: name it with --key"):
        forget(tmp_path / "lfw")
    assert load_key(key)
    assert forget(tmp_path / "lfw", key=key) == key
    with pytest.raises(KeyFileError, match="was destroyed"):
        lookup(tmp_path / "lfw")


def test_another_key_is_not_destroyed_in_its_stead(tmp_path: Path, private: Path) -> None:
    other = tmp_path / "keys" / "other"
    create_key(other)
    with pytest.raises(KeyFileError, match="does not fit this identity map"):
        forget(tmp_path / "lfw", key=other)
    assert load_key(other)
    assert len(lookup(tmp_path / "lfw")) == 4
    (private / "identity_map.parquet").unlink()
    (private / "staging").mkdir()
    write_json(private / "staging/job.json", {"entries": {"key": key_check(load_key(private / "key"))}}, 0o600)
    with pytest.raises(KeyFileError, match="does not fit the unfinished run"):
        forget(tmp_path / "lfw", key=other)
    assert load_key(other)
    assert forget(tmp_path / "lfw") == private / "key"


def test_a_damaged_map_keeps_no_key_alive(tmp_path: Path, private: Path) -> None:
    (private / "identity_map.parquet").write_bytes(b"nothing")
    assert forget(tmp_path / "lfw") == private / "key"


def test_forget_that_was_cut_off_is_done_again(tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In clear lies what an unfinished run staged: it must not outlive the key."""
    (private / "staging").mkdir()
    write_map_rows(private / "staging" / "rows.parquet", ROWS)
    with monkeypatch.context() as broken:
        broken.setattr(private_map.shutil, "rmtree", lambda folder: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(ReleaseError, match="I/O error"):
            forget(tmp_path / "lfw")
    assert forget(tmp_path / "lfw") == private / "key"
    assert {path.name for path in private.iterdir()} == {"identity_map.parquet", "key.destroyed", "made.json"}


def test_forget_waits_for_a_running_job(tmp_path: Path, private: Path) -> None:
    with owned(private), pytest.raises(ReleaseError, match="is in use by process"):
        forget(tmp_path / "lfw")
    assert len(lookup(tmp_path / "lfw")) == 4


def test_an_unfinished_release_has_no_map(tmp_path: Path) -> None:
    create_key(tmp_path / "lfw.private" / "key")
    with pytest.raises(ReleaseError, match=r"identity_map\.parquet does not exist"):
        lookup(tmp_path / "lfw")


def test_a_map_of_another_schema_is_refused(tmp_path: Path) -> None:
    write_map(tmp_path / "map", pa.table({"sample": ["a"]}), KEY)
    with pytest.raises(ReleaseError, match="damaged or was altered"):
        read_map(tmp_path / "map", KEY)


def test_rows_that_come_piece_by_piece_are_staged_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_map, "_PIECE", 2)
    write_map_rows(tmp_path / "whole", ROWS)
    with staged_map_rows(tmp_path / "pieces") as keep:
        for row in ROWS:
            keep([row])
    whole, pieces = (pa.concat_tables(read_map_rows([tmp_path / name], tmp_path)) for name in ("whole", "pieces"))
    assert pieces.num_rows == len(ROWS)
    assert pieces.equals(whole)
    with pytest.raises(AttributeError), staged_map_rows(tmp_path / "none") as keep:
        keep([*ROWS, "no row"])  # type: ignore[list-item]
    assert not (tmp_path / "none").exists()
    with staged_map_rows(tmp_path / "empty"):
        pass
    assert sum(table.num_rows for table in read_map_rows([tmp_path / "empty"], tmp_path)) == 0
