"""Observations by content, so that a second audit, or one that was interrupted, looks at nothing twice.

It holds embeddings of real faces: it lies on the private side (0600) and goes with the key.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dsanon.durable import PRIVATE, PRIVATE_FOLDER
from dsanon.errors import ReleaseError

FILE = "observations.sqlite"
EVERY = 2.0  # seconds of work that a kill costs


class Cache:
    """Key → bytes, in one SQLite file. Only one process writes; what was put survives a kill seconds later.

    folder: None remembers for this run only.
    """

    def __init__(self, folder: Path | None) -> None:
        path = Path(":memory:") if folder is None else folder / FILE
        try:
            if folder is not None:
                folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE))
            self._connection = sqlite3.connect(path)
            self._connection.execute("CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise ReleaseError(f"{path} cannot be used as a cache ({error}): delete it") from error
        self._committed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.commit()
        self._connection.close()

    def get(self, key: str) -> bytes | None:
        """What was put under ``key``."""
        row = self._connection.execute("SELECT value FROM seen WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes) -> None:
        """Remember ``value``: on disk with the first one after ``EVERY`` seconds, or at the end."""
        self._connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (key, value))
        if time.monotonic() - self._committed >= EVERY:
            self._connection.commit()
            self._committed = time.monotonic()
