"""The private side's tables: who was who (encrypted), and which source files were withheld.

The identity map is Parquet modular encryption: footer and columns under a fresh AES-GCM key of the file, which is
stored in it, wrapped under a key derived from the release's. Without that nothing of it can be read.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dsanon.durable import PRIVATE, aside, explained, read_object
from dsanon.errors import KeyFileError, ReleaseError
from dsanon.external_sort import rechunked, sorted_pieces
from dsanon.key import destroy_key, key_check, load_key, subkey, tombstone
from dsanon.layout import ReleasePaths
from dsanon.lock import owned
from dsanon.storage import Bucket

IDENTITY_MAP = pa.schema(
    [
        ("sample", pa.string()),
        ("region", pa.int32()),
        ("source_file", pa.string()),
        ("source_sha256", pa.string()),
        ("source_subject", pa.string()),
        ("subject", pa.string()),
        ("scope", pa.string()),
        ("control_ids", pa.list_(pa.int32())),
        ("control_weights", pa.list_(pa.float32())),
        ("landmarks", pa.list_(pa.float32())),
        ("transform", pa.list_(pa.float32())),
        ("detector", pa.string()),
        ("score", pa.float32()),
    ],
    metadata={"dsanon.schema": "1"},
)
QUARANTINE = pa.schema(
    [("sample", pa.string()), ("source_file", pa.string()), ("reason", pa.string()), ("source_sha256", pa.string())],
    metadata={"dsanon.schema": "1"},
)
_ROW_GROUP = 1 << 16
_PIECE = 1 << 12  # rows that wait until they are staged
_RUN = 1 << 17  # rows of 1.1 kB that are sorted at once
ENCRYPTED = b"PARE"  # first four bytes of a Parquet file with an encrypted footer


@dataclass(frozen=True, slots=True)
class MapRow:
    """One region, and what it was. source_subject None: unlabelled · source_file: relative to SOURCE

    control_ids, control_weights: () where the method has no fake identity · landmarks: 68 × 2 source pixels, or ()
    transform: 2 × 3, source pixels to crop, or () · score: of the best detector
    """

    sample: str
    region: int | None
    source_file: str
    source_sha256: str
    source_subject: str | None
    subject: str | None
    scope: str
    control_ids: tuple[int, ...] = ()
    control_weights: tuple[float, ...] = ()
    landmarks: tuple[float, ...] = ()
    transform: tuple[float, ...] = ()
    detector: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """A sample of which no pixel was released, and why."""

    sample: str
    source_file: str
    reason: str
    source_sha256: str


def write_map_rows(path: Path, rows: pa.Table | Sequence[MapRow]) -> None:
    """Stage one shard's rows, in clear: only for the staging folder, which is gone when the release is published."""
    _write(path, IDENTITY_MAP, [rows if isinstance(rows, pa.Table) else _table(IDENTITY_MAP, rows)])


class _Elsewhere(Exception):
    """What failed while rows were staged (its argument) is not their file."""


@contextmanager
def staged_map_rows(path: Path) -> Iterator[Callable[[Sequence[MapRow]], None]]:
    """As :func:`write_map_rows`, for rows that come piece by piece: what takes them. Memory holds ``_PIECE`` rows."""
    waiting: list[pa.Table] = []

    def keep(rows: Sequence[MapRow]) -> None:
        waiting.append(_table(IDENTITY_MAP, rows))
        if sum(table.num_rows for table in waiting) >= _PIECE:
            flush()

    def flush() -> None:
        writer.write_table(pa.concat_tables([IDENTITY_MAP.empty_table(), *waiting]).combine_chunks())
        waiting.clear()

    try:
        with aside(path, PRIVATE) as file, pq.ParquetWriter(file, IDENTITY_MAP, compression="zstd") as writer:
            try:
                yield keep
            except OSError as error:  # aside() would say that this file cannot be written
                raise _Elsewhere(error) from error
            flush()
    except _Elsewhere as broken:
        raise broken.args[0] from None


def read_map_rows(paths: Iterable[Path], scratch: Path) -> Iterator[pa.Table]:
    """The staged rows of all shards, sorted by sample and region, in pieces.

    scratch: a private folder for what does not fit into memory
    """
    tables = (table for path in paths for table in _row_groups(path, IDENTITY_MAP))
    return sorted_pieces(tables, IDENTITY_MAP, ("sample", "region"), scratch, _RUN)


def write_quarantine(path: Path, rows: Sequence[QuarantineRow]) -> None:
    """Write the list of withheld samples (0600); atomically."""
    _write(path, QUARANTINE, [_table(QUARANTINE, rows)])


def write_map(path: Path, rows: Iterator[pa.Table] | pa.Table | Sequence[MapRow], key: bytes) -> None:
    """Write the identity map, encrypted under the release's ``key`` (0600); atomically. rows: or tables of them."""
    if isinstance(rows, Sequence):
        rows = _table(IDENTITY_MAP, rows)
    # The file carries which key it wants (never the key), so that a wrong one is told from a damaged file.
    encryption = pe.EncryptionConfiguration(
        key_check(key), uniform_encryption=True, double_wrapping=False, data_key_length_bits=256
    )
    properties = _factory(key).file_encryption_properties(pe.KmsConnectionConfig(), encryption)
    if isinstance(rows, Iterator):
        _write(path, IDENTITY_MAP, rows, properties)
    else:
        _write(path, rows.schema, [rows], properties)


def read_map(path: Path, key: bytes) -> pa.Table:
    """The identity map. Raises KeyFileError for the wrong key, ReleaseError for a missing, altered or foreign file."""
    return _read(path, IDENTITY_MAP, _decryption(key))


def _decryption(key: bytes) -> Any:
    return _factory(key).file_decryption_properties(pe.KmsConnectionConfig(), pe.DecryptionConfiguration())


def read_quarantine(path: Path) -> pa.Table:
    """The list of withheld samples. Raises ReleaseError."""
    return _read(path, QUARANTINE)


def open_map(paths: ReleasePaths, key: Path | None = None) -> pa.Table:
    """The identity map of a release. key: by default the one it was made with. Raises KeyFileError, ReleaseError."""
    return read_map(*_map_and_key(paths, key))


def _map_and_key(paths: ReleasePaths, key: Path | None) -> tuple[Path, bytes]:
    _refuse_missing(paths)
    return paths.map, load_key(key_path(paths, key))


def _refuse_missing(paths: ReleasePaths) -> None:
    if not paths.private.is_dir():
        raise ReleaseError(
            f"{paths.private} does not exist: is {paths.name} the release? Name its private side with --private"
        )


def lookup(
    release: Path | Bucket, private: Path | None = None, key: Path | None = None, subject: str | None = None
) -> list[dict[str, Any]]:
    """Rows of the private map, ready for JSON. subject: a pseudonym or a source label; its rows only, maybe none.

    private: by default RELEASE.private · key: by default the one the release was made with
    Raises KeyFileError (missing, destroyed, wrong), ReleaseError (no map, damaged).
    """
    path, secret = _map_and_key(ReleasePaths.of(None, release, private, key), key)
    rows: list[dict[str, Any]] = []
    for table in _row_groups(path, IDENTITY_MAP, _decryption(secret)):
        if subject is not None:
            table = table.filter(
                pc.or_kleene(pc.equal(table["subject"], subject), pc.equal(table["source_subject"], subject))
            )
        rows += table.to_pylist()
    return rows


def forget(release: Path | Bucket, private: Path | None = None, key: Path | None = None) -> Path:
    """Destroy the key of ``release``, and all on the private side that leads back without it; returns the key's path.

    That is the staging of an unfinished run, what an audit remembers of the originals' faces, pictures of source and
    release side by side, and the list of withheld samples: a frame in it names the source of its video. The encrypted
    map stays. A key outside the private side may serve other releases: it must be named.
    Raises KeyFileError (not the release's among others), ReleaseError (a run is going on).
    """
    paths = ReleasePaths.of(None, release, private, key)
    _refuse_missing(paths)
    path = key_path(paths, key)
    if key is None and path != paths.key:
        raise KeyFileError(
            f"the key of {paths.name} is {path}, which may serve other releases: name it with --key {path}"
        )
    with owned(paths.private):
        _refuse_another_key(paths, load_key(path))
        with explained(paths.private):
            paths.quarantine.unlink(missing_ok=True)
            for folder in (paths.staging, paths.audit, paths.compare):
                if folder.exists():
                    shutil.rmtree(folder)
        destroy_key(path)  # last: cut off before, `dsanon forget` does it again
    return path


def _refuse_another_key(paths: ReleasePaths, key: bytes) -> None:
    """Raises KeyFileError for a key that is not the release's: that would go, and the map could still be read."""
    if paths.map.exists():
        with suppress(ReleaseError):  # damaged: that does not keep a key from being destroyed
            next(_row_groups(paths.map, IDENTITY_MAP, _decryption(key)), None)
    elif (job := read_object(paths.job, entries=dict)) and job["entries"].get("key") != key_check(key):
        raise KeyFileError(
            f"the key does not fit the unfinished run in {paths.staging}: name the one it was begun with"
        )


def key_path(paths: ReleasePaths, given: Path | None) -> Path:
    """The key as named, else the one on the private side, else the one that the release was made with."""
    if given is not None or paths.key.exists() or tombstone(paths.key).exists():
        return paths.key
    made = (read_object(paths.made) or {}).get("key")
    return Path(made) if isinstance(made, str) else paths.key


class _KeyWrap(pe.KmsClient):  # type: ignore[misc]
    """Wraps the keys of a Parquet file under the release's key (AES-256-GCM, a fresh nonce each)."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._check = key_check(key)
        self._cipher = AESGCM(subkey(key, "map"))

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        nonce = os.urandom(12)
        sealed = self._cipher.encrypt(nonce, key_bytes, master_key_identifier.encode())
        return base64.b64encode(nonce + sealed).decode()

    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
        if master_key_identifier != self._check:
            raise KeyFileError("the key does not fit this identity map: name the key that the release was made with")
        sealed = base64.b64decode(wrapped_key)
        return self._cipher.decrypt(sealed[:12], sealed[12:], master_key_identifier.encode())


def _factory(key: bytes) -> Any:
    return pe.CryptoFactory(lambda _: _KeyWrap(key))


def _table(schema: pa.Schema, rows: Sequence[Any]) -> pa.Table:
    return pa.Table.from_pydict({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)


def _write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table], encryption: Any = None) -> None:
    options = {"compression": "zstd", "encryption_properties": encryption}
    with aside(path, PRIVATE) as file, pq.ParquetWriter(file, schema, **options) as writer:
        for table in rechunked(tables, _ROW_GROUP):
            writer.write_table(table)


def _read(path: Path, schema: pa.Schema, decryption: Any = None) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *_row_groups(path, schema, decryption)]).combine_chunks()


def _row_groups(path: Path, schema: pa.Schema, decryption: Any = None) -> Iterator[pa.Table]:
    """The table piece by piece, so that memory holds one."""
    altered = f"{path} is damaged or was altered: restore it from a copy"
    try:
        with path.open("rb") as file:
            # Arrow would read a file in clear as well, and so believe a forged map.
            if (file.read(4) == ENCRYPTED) != (decryption is not None):
                raise ReleaseError(altered)
            file.seek(0)
            parquet = pq.ParquetFile(file, decryption_properties=decryption)
            if not parquet.schema_arrow.equals(schema):
                raise ReleaseError(altered)
            for number in range(parquet.num_row_groups):
                group = parquet.read_row_group(number, use_threads=False)  # no thread outlives the command
                group.validate(full=True)
                yield group.cast(schema)
    except FileNotFoundError:
        raise ReleaseError(f"{path} does not exist: is this the private side of a finished release?") from None
    except (OSError, MemoryError, pa.ArrowException, InvalidTag, binascii.Error, ValueError) as error:
        raise ReleaseError(altered) from error
