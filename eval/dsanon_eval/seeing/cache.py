"""Observations by content, so that a second audit, or one that was interrupted, looks at nothing twice.

It holds embeddings of real faces: it lies on the private side (0600) and goes with the key.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dsanon.durable import PRIVATE, PRIVATE_FOLDER
from dsanon.errors import ReleaseError

FILE = "observations.sqlite"
EVERY = 2.0  # seconds of work that a kill costs
PATIENCE = 5.0  # seconds


class Cache:
    """Key → bytes, in one SQLite file. Only one process writes; what was put survives a kill seconds later.

    folder: None remembers for this run only. Every method raises ReleaseError where the file is no cache, damaged, or
    in use by another run for longer than ``PATIENCE``.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = path = Path(":memory:") if folder is None else folder / FILE
        with self._usable():
            if folder is not None:
                folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE))
            self._connection = sqlite3.connect(path, timeout=PATIENCE)
            self._connection.execute("CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        self._committed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # what went wrong is told, not that it could not be remembered
            with suppress(sqlite3.Error) if error else self._usable():
                self._connection.commit()
        finally:
            self._connection.close()

    def get(self, key: str) -> bytes | None:
        """What was put under ``key``."""
        with self._usable():
            row = self._connection.execute("SELECT value FROM seen WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> None:
        """Remember ``value``: on disk with the first one after ``EVERY`` seconds, or at the end."""
        with self._usable():
            self._connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (key, value))
            if time.monotonic() - self._committed >= EVERY:
                self._connection.commit()
                self._committed = time.monotonic()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise ReleaseError(
                f"{self._path} cannot be used as a cache ({error}): wait for the other run that uses it, or delete it"
            ) from error
