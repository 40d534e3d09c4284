"""Object storage: a prefix of a bucket, through fsspec. There is no rename, and an object appears whole or not at all.

Credentials, region and endpoint come from the environment, as the store's own tools take them (AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, …), on every node alike. They are never part of a URL, an error or a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsanon.errors import StorageError, UsageError

AT_ONCE = 32  # objects that are read or written together
_ALIASES = {"s3a": "s3", "gcs": "gs"}  # one store by two names, in which SOURCE and RELEASE must not overlap
_LISTED = 1000  # objects that are deleted or copied together


@dataclass(frozen=True, slots=True)
class Bucket:
    """Everything below ``url`` (``s3://bucket/prefix``, no slash at its end)."""

    url: str

    def __truediv__(self, name: str) -> Bucket:
        return Bucket(f"{self.url}/{name.strip('/')}") if name else self

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def here_only(self) -> bool:
        """Whether it lives in this process."""
        return self.url.startswith("memory://")

    def beside(self, suffix: str) -> Bucket:
        """The prefix with ``suffix`` behind its name."""
        return Bucket(self.url + suffix)

    def listed(self) -> dict[str, str]:
        """Every object's name below the prefix → what tells that it changed: its size, and ETag or time."""
        try:
            with self._explained(absent=True):
                fs, root = self._open()
                found = fs.find(root, detail=True)
                return {path[len(root) + 1 :]: _version(about) for path, about in sorted(found.items()) if path != root}
        except FileNotFoundError:
            return {}

    def children(self) -> list[str]:
        """Names one level below the prefix, sorted; a folder's ends with a slash."""
        try:
            with self._explained(absent=True):
                fs, root = self._open()
                return sorted(
                    about["name"][len(root) + 1 :].rstrip("/") + "/" * (about["type"] == "directory")
                    for about in fs.ls(root, detail=True)
                    if about["name"].rstrip("/") != root
                )
        except FileNotFoundError:
            return []

    def look(self) -> str:
        """``folder``, or the object's size and version; '' where nothing is there. Raises StorageError."""
        try:
            with self._explained(absent=True):
                fs, root = self._open()
                about = fs.info(root)
                return "folder" if about["type"] == "directory" else _version(about)
        except FileNotFoundError:
            return ""

    def read(self, names: Sequence[str], most: int | None = None) -> Iterator[bytes | None]:
        """The objects' bytes (the first ``most`` of each), some at a time; None where there is no such object."""
        for start in range(0, len(names), AT_ONCE):
            with self._explained():
                fs, root = self._open()
                paths = [f"{root}/{name}" for name in names[start : start + AT_ONCE]]
                contents = fs.cat_ranges(paths, [0] * len(paths), [most] * len(paths), on_error="return")
                contents = [b"" if _empty(content) else content for content in contents]
                for content in contents:
                    if isinstance(content, BaseException) and not isinstance(content, FileNotFoundError):
                        raise content
            yield from (content if isinstance(content, bytes) else None for content in contents)

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write the objects, all at once. Raises StorageError; some may have been written then."""
        with self._explained():
            fs, root = self._open()
            fs.pipe({f"{root}/{name}": content for name, content in contents.items()})

    def create(self, name: str, content: bytes) -> bool:
        """Write the object unless it is there already: False then, whoever else tries at the same time."""
        with self._explained():
            fs, root = self._open()
            try:
                fs.pipe_file(f"{root}/{name}", content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if "condition" in str(error).lower():  # S3's answer to If-None-Match
                    return False
                raise
        return True

    def upload(self, file: Path, name: str) -> None:
        """Write a file's bytes, piece by piece."""
        with self._explained():
            fs, root = self._open()
            fs.put_file(str(file), f"{root}/{name}")

    def download(self, name: str, file: Path) -> None:
        """Fetch an object, piece by piece."""
        with self._explained():
            fs, root = self._open()
            fs.get_file(f"{root}/{name}", str(file))

    def delete(self, names: Iterable[str]) -> None:
        """Delete the objects."""
        for some in _pieces(names):
            with self._explained():
                fs, root = self._open()
                fs.rm([f"{root}/{name}" for name in some])

    def copy(self, names: Iterable[str], to: Bucket) -> None:
        """Copy the objects within the store, in the order of ``names``."""
        for some in _pieces(names):
            with self._explained():
                fs, root = self._open()
                _, other = to._open()
                fs.copy([f"{root}/{name}" for name in some], [f"{other}/{name}" for name in some])

    def _open(self) -> tuple[Any, str]:
        """The file system, and the prefix as it writes it."""
        import fsspec

        protocol = self.url.split("://", 1)[0]
        try:
            options = {} if self.here_only else {"use_listings_cache": False}
            fs, root = fsspec.url_to_fs(self.url, **options)
        except (ImportError, ValueError) as error:
            hint = "pip install 'dsanon[s3]'" if protocol == "s3" else f"install fsspec's package for {protocol}://"
            raise UsageError(f"{self.url} cannot be opened ({type(error).__name__}): {hint}") from None
        return fs, root.rstrip("/")

    @contextmanager
    def _explained(self, absent: bool = False) -> Iterator[None]:
        """Turn whatever the store raises into a StorageError; absent: but let a FileNotFoundError through."""
        try:
            yield
        except (UsageError, MemoryError):
            raise
        except Exception as error:  # every store has its own
            if absent and isinstance(error, FileNotFoundError):
                raise
            lines = str(error).splitlines()
            raise StorageError(
                f"{self.url}: object storage failed ({type(error).__name__}: {lines[0][:150] if lines else ''}): "
                "check bucket, credentials and endpoint in the environment; what was begun goes on with --resume"
            ) from None


def place(text: str) -> Path | Bucket:
    """What a user calls a place: a URL of object storage, or a path. Raises UsageError."""
    protocol, found, rest = text.partition("://")
    if not found:
        return Path(text)
    if protocol in ("file", "local"):
        return Path(rest)
    if "@" in rest.split("/", 1)[0] or "?" in rest:
        raise UsageError(f"{protocol}://…: a URL with options or credentials in it: give those in the environment")
    rest = rest.strip("/")
    if not rest or (protocol != "memory" and "/" not in rest) or any(p in ("", ".", "..") for p in rest.split("/")):
        raise UsageError(f"{text}: expected {protocol}://bucket/prefix")
    return Bucket(f"{_ALIASES.get(protocol, protocol)}://{rest}")


def overlap(one: Bucket, other: Bucket) -> bool:
    """Whether one prefix lies in the other."""
    a, b = f"{one.url}/", f"{other.url}/"
    return a.startswith(b) or b.startswith(a)


def _version(about: Mapping[str, Any]) -> str:
    names = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
    return f"{about['size']} {next((about[name] for name in names if about.get(name)), '')}"


def _empty(answer: Any) -> bool:
    """Whether a store answers that an object of no bytes has no first byte."""
    return isinstance(answer, OSError) and "range" in str(answer).lower()


def _pieces(names: Iterable[str]) -> Iterator[list[str]]:
    listed = list(names)
    for start in range(0, len(listed), _LISTED):
        yield listed[start : start + _LISTED]
