"""Files that runs leave for later ones, in the release and on the private side."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz.parser import BYTES, JSON, TEXT, Parser, file

from dsanon.key import create_key, load_key
from dsanon.layout import ReleasePaths
from dsanon.lock import owned
from dsanon.manifest import ManifestRow, count, read_rows, to_table
from dsanon.private_map import MapRow, QuarantineRow, read_map, read_quarantine, write_map, write_quarantine
from dsanon.release import open_release


def _table(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _manifest_seeds() -> list[bytes]:
    row = ManifestRow(
        "a", "a.png", "dataset", "anonymized", 0, "face", (0, 0, 5, 5), "p1", "blur", output_sha256="ab" * 32
    )
    return [_table(to_table([row, ManifestRow("b", "b.png", "dataset", "empty", output_sha256="cd" * 32)]))]


def _manifest(data: bytes, folder: Path) -> None:
    table = read_rows(file(data, folder / "manifest.parquet"))
    table.to_pylist()
    count(table)


@cache
def _map_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "map")
        write_map(path, [MapRow("a", 0, "a.png", "ab" * 32, "Ann", "p1", "dataset", (1,), (1.0,))], bytes(32))
        return [path.read_bytes()]


@cache
def _quarantine_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "quarantine")
        write_quarantine(path, [QuarantineRow("a", "a.png", "why", "ab" * 32)])
        return [path.read_bytes()]


def _state(name: str) -> Callable[[bytes, Path], None]:
    """A JSON file of the private side or the release, in front of a run that resumes."""

    def read(data: bytes, folder: Path) -> None:
        (folder / "source").mkdir(exist_ok=True)
        paths = ReleasePaths.of(folder / "source", folder / f"state-{name.replace('/', '-')}" / "release")
        if not paths.key.exists():
            paths.private.mkdir(mode=0o700, parents=True)
            create_key(paths.key)
        places = {"job": paths.job, "made": paths.made, "owner": paths.private / "owner.json"}
        for place in places.values():
            place.unlink(missing_ok=True)
        paths.staging.mkdir(mode=0o700, exist_ok=True)
        (paths.staging / "000000.at").write_text("0")
        paths.data.mkdir(parents=True, exist_ok=True)
        (paths.data / "a.png").touch()
        file(data, places[name])
        with open_release(paths, {"configuration": {"method": "blur"}}, resume=name == "job", overwrite=name != "job"):
            pass

    return read


def _state_seeds() -> list[bytes]:
    job = {"schema": 1, "release": "/x", "entries": {"configuration": {"method": "blur"}, "key": "00"}}
    return [
        json.dumps(one).encode()
        for one in (job, {"schema": 1, "release": "/x", "key": "/y"}, {"pid": 1, "host": "h", "started": "now"})
    ]


def _release_json(data: bytes, folder: Path) -> None:
    """In front of a review that is applied."""
    from dsanon.revision import _made_of

    paths = ReleasePaths.of(None, folder / "about" / "release")
    file(data, paths.release / "release.json")
    _made_of(paths, {}, (), bytes(32))


def _key(data: bytes, folder: Path) -> None:
    path = file(data, folder / "key")
    path.chmod(0o600)
    load_key(path)


def _write_owner(data: bytes, folder: Path) -> None:
    private = folder / "private"
    private.mkdir(exist_ok=True)
    file(data, private / "owner.json")
    with owned(private):
        pass


PARSERS: dict[str, Parser] = {
    "manifest": Parser(_manifest_seeds, BYTES, _manifest),
    "identity_map": Parser(
        _map_seeds, BYTES, lambda data, folder: read_map(file(data, folder / "map"), bytes(32)).to_pylist()
    ),
    "quarantine": Parser(
        _quarantine_seeds, BYTES, lambda data, folder: read_quarantine(file(data, folder / "q")).to_pylist()
    ),
    "release.json": Parser(lambda: [b'{"schema": 1, "state": "complete", "fingerprint": "ab"}'], JSON, _release_json),
    "job.json": Parser(_state_seeds, JSON, _state("job")),
    "made.json": Parser(_state_seeds, JSON, _state("made")),
    "owner.json": Parser(_state_seeds, JSON, _write_owner),
    "key": Parser(lambda: [b"ab" * 32 + b"\n"], TEXT, _key),
}
