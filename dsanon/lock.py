"""One run at a time: a lock that the kernel drops when its process dies, whatever kills it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dsanon.durable import PRIVATE, read_object, write_json
from dsanon.errors import ReleaseError

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def owned(private: Path) -> Iterator[None]:
    """Hold a private side for this process, and write down who does (owner.json: pid, host, started).

    The note serves the message of whoever is refused, and file systems whose locks do not reach other hosts: a note
    of another host is believed, one of this host only where the file system has no locks.
    Raises ReleaseError naming the process and host that hold it.
    """
    note = private / "owner.json"
    with locked(private, note) as supported:
        holder = read_object(note, pid=int, host=str, started=str)
        if holder and (holder["host"] != socket.gethostname() or (not supported and _alive(holder["pid"]))):
            raise _running(private, note)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(note, {"pid": os.getpid(), "host": socket.gethostname(), "started": started}, PRIVATE)
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, note: Path | None = None) -> Iterator[bool]:
    """Lock ``folder`` for this process; False where the file system has no locks.

    note: where the holder may be written down. Raises ReleaseError when another process has it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        supported = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _running(folder, note) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            supported = False
        if not os.path.samestat(os.fstat(descriptor), folder.stat()):
            raise ReleaseError(f"{folder} was renamed by another run just now: look what became of it and try again")
        yield supported
    finally:
        os.close(descriptor)


def share(folder: Path) -> int | None:
    """Note for :func:`wait_for` that this process works in ``folder``, until it ends; the descriptor that does it.

    A worker outlives its killed driver by seconds. None where the file system has no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def wait_for(folder: Path, seconds: float = 60) -> None:
    """Wait until no process that called :func:`share` works in ``folder``. Raises ReleaseError after ``seconds``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ReleaseError(
                        f"{folder} is in use by workers of an interrupted run that do not end: end them and try again"
                    ) from None
                time.sleep(0.05)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                return None
    finally:
        os.close(descriptor)


def _running(folder: Path, note: Path | None) -> ReleaseError:
    holder = read_object(note, pid=int, host=str, started=str) if note else None
    if not holder:
        return ReleaseError(f"{folder} is in use by another run: wait for its end")
    return ReleaseError(
        f"{folder} is in use by process {holder['pid']} on {holder['host']} since {holder['started']}: "
        f"wait for its end (if that process is dead, delete {note})"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
