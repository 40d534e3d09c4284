"""Where everything of a release lies, public and private, and which places must not lie in one another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsanon.errors import UsageError
from dsanon.storage import Bucket, overlap


@dataclass(frozen=True, slots=True)
class ReleasePaths:
    """Where everything of one release lies. All absolute, symbolic links resolved.

    bucket: where the release goes on object storage; ``release`` is then only where its small files wait for that
    """

    release: Path
    private: Path
    key: Path
    bucket: Bucket | None = None

    @classmethod
    def of(
        cls,
        source: Path | Bucket | None,
        release: Path | Bucket,
        private: Path | None = None,
        key: Path | None = None,
    ) -> ReleasePaths:
        """Paths of a release; source: None where it plays no part.

        private: by default RELEASE.private, of a release on object storage in the current folder
        key: by default ``key`` on the private side
        Raises UsageError where the private side, the key or the source would lie inside the release, or the like.
        """
        if isinstance(release, Bucket):
            return cls._on_objects(source, release, private, key)
        release = release.resolve()
        if not release.name:
            raise UsageError(f"RELEASE {release} is a file system's root: name a folder in it")
        private = private.resolve() if private else release.with_name(release.name + ".private")
        paths = cls(release, private, key.resolve() if key else private / "key")
        paths._refuse_overlaps(source.resolve() if isinstance(source, Path) else None)
        return paths

    @classmethod
    def _on_objects(
        cls, source: Path | Bucket | None, bucket: Bucket, private: Path | None, key: Path | None
    ) -> ReleasePaths:
        private = (private or Path(f"{bucket.name}.private")).resolve()
        paths = cls(private / "outbox" / bucket.name, private, key.resolve() if key else private / "key", bucket=bucket)
        if _inside(paths.key, paths.release.parent):
            raise UsageError(f"--key {paths.key} lies inside {paths.release.parent}, which is published from")
        for public in (bucket, bucket.beside(".partial")):
            if isinstance(source, Bucket) and overlap(source, public):
                raise UsageError(f"SOURCE {source} and {public} overlap: name a RELEASE outside of SOURCE")
        paths._refuse_private(source.resolve() if isinstance(source, Path) else None)
        return paths

    def _refuse_overlaps(self, source: Path | None) -> None:
        for public in (self.release, self.partial, self.replaced):
            if _overlap(public, self.private):
                raise UsageError(f"--private {self.private} and {public} overlap: the private side must lie elsewhere")
            if _inside(self.key, public):
                raise UsageError(f"--key {self.key} lies inside {public}: what is published must not hold the key")
            if source and _overlap(source, public):
                raise UsageError(f"SOURCE {source} and {public} overlap: name a RELEASE outside of SOURCE")
        self._refuse_private(source)

    def _refuse_private(self, source: Path | None) -> None:
        if _inside(self.key, self.staging):
            raise UsageError(
                f"--key {self.key} lies inside {self.staging}, which is deleted at the end: keep it elsewhere"
            )
        if source and (_inside(self.private, source) or _inside(source, self.staging)):
            raise UsageError(f"--private {self.private} lies inside SOURCE {source}: inputs are never written to")
        if source and _inside(self.key, source) and not self.key.exists():
            raise UsageError(f"--key {self.key} would be made inside SOURCE {source}: inputs are never written to")

    @property
    def name(self) -> str:
        """RELEASE as the user calls it: a path or a URL."""
        return str(self.bucket or self.release)

    @property
    def partial(self) -> Path:
        """The release while it is unfinished."""
        return self.release.with_name(self.release.name + ".partial")

    @property
    def replaced(self) -> Path:
        """The finished release that ``--overwrite`` replaces, for the moment of the exchange."""
        return self.release.with_name(self.release.name + ".replaced")

    @property
    def data(self) -> Path:
        """``data/`` while the release is unfinished: sources write below it."""
        return self.partial / "data"

    @property
    def staging(self) -> Path:
        """Shards' rows and all else that an interrupted run goes on from; private, deleted at the end."""
        return self.private / "staging"

    @property
    def job(self) -> Path:
        """What the interrupted run was: its fingerprint and what went into it."""
        return self.staging / "job.json"

    @property
    def map(self) -> Path:
        """The identity map of the finished release."""
        return self.private / "identity_map.parquet"

    @property
    def staged_map(self) -> Path:
        """Where the job writes it: publish() moves it, so that an old release keeps its map until it is replaced."""
        return self.staging / self.map.name

    @property
    def quarantine(self) -> Path:
        """The withheld samples of the finished release."""
        return self.private / "quarantine.parquet"

    @property
    def staged_quarantine(self) -> Path:
        """Where the job writes them."""
        return self.staging / self.quarantine.name

    @property
    def applied(self) -> Path:
        """The reviewers' decisions that the finished release was made with."""
        return self.private / "applied_review.json"

    @property
    def staged_applied(self) -> Path:
        """Where the job writes them."""
        return self.staging / self.applied.name

    @property
    def made(self) -> Path:
        """Which release this private side belongs to, and with which key that was made."""
        return self.private / "made.json"

    @property
    def audit(self) -> Path:
        """What an audit remembers between two runs: embeddings of real faces, so it goes with the key."""
        return self.private / "audit"

    @property
    def compare(self) -> Path:
        """Source and release side by side: it shows source faces, so it goes with the key."""
        return self.private / "compare"


def _inside(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _overlap(one: Path, other: Path) -> bool:
    return _inside(one, other) or _inside(other, one)
