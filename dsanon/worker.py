"""A worker: loads its models once, then finds, renders and copies shards. Runs inline or as a Ray actor."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsanon import appearance
from dsanon.config import JobConfig
from dsanon.durable import explained
from dsanon.errors import BadImage, DsanonError, StorageError
from dsanon.found import read_found, write_found
from dsanon.lock import share
from dsanon.manifest import write_table
from dsanon.models.painters import Generators, refuse_altered
from dsanon.naming import Names
from dsanon.nodes import Fact
from dsanon.plan import Controls
from dsanon.private_map import staged_map_rows
from dsanon.render import Strength, Treatment, render
from dsanon.review import Decision
from dsanon.rows import CHANGED, Rows
from dsanon.sample import Found, Kind, Photo, Pixels, Sample, Unreadable
from dsanon.seals import finish, require, seal
from dsanon.shards import Shard
from dsanon.sources import Sink, open_source
from dsanon.steady import Recent, prune
from dsanon.storage import Bucket

_PIXELS_AT_ONCE = 24_000_000  # a batch of photos is rendered when it has so many pixels
DIED = "the worker died while processing it, twice"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs to start. generators: of a painted method, none for others.

    device: cpu, cuda or cuda:N, of a painted method
    decisions: of a reviewer, about regions of the release that is made anew
    needed: what a worker on another node must see
    """

    config: JobConfig
    data: Path | Bucket
    staging: Path
    names_key: bytes
    generators: Generators
    device: str = "cpu"
    decisions: tuple[Decision, ...] = ()
    needed: tuple[Fact, ...] = ()

    @property
    def gpu(self) -> bool:
        """Whether a worker takes a share of a GPU."""
        return self.device.startswith("cuda")

    def begin(self) -> None:
        """Note in a worker's process that it works here, so that a resumed run waits for its end."""
        share(self.staging)


class _Changed(Exception):
    """samples: ids of those whose file is no longer the one that was read"""

    def __init__(self, samples: Set[str]) -> None:
        super().__init__(CHANGED)
        self.samples = samples


class Worker:
    """find: first pass · link: tracks of a sequence · render: second pass. Each returns counts and stages its rows.

    copy: on object storage, what was rendered goes to where it is released.
    """

    def __init__(self, setup: Setup) -> None:
        import cv2
        import torch

        # one thread a worker: they don't fight for cores, and the arithmetic is the same in every process
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        torch.set_flush_denormal(True)
        self.setup = setup
        self.names = Names(setup.names_key)
        self.source = open_source(setup.config.dataset, setup.config.source)
        self._finder: Any = None
        self._painters: dict[Kind, Any] = {}
        self._recent: Recent = {}
        self._strength = Strength(setup.config.kernel, setup.config.block)

    def find(self, shard: Shard) -> dict[str, int]:
        """Detect everybody in the samples of a shard, or of a piece of one."""
        if self._finder is None:
            self._finder = _open_finder(self.setup.config, "body" in self.setup.generators)
        counts = {"samples": len(shard.samples), "faces": 0}
        write_found(shard.found(self.setup.staging), self._find(shard, counts))
        seal(shard.found(self.setup.staging))
        shard.at(self.setup.staging).unlink(missing_ok=True)
        return counts

    def _find(self, shard: Shard, counts: dict[str, int]) -> Iterator[Found]:
        for sample, photo in self._read(shard):
            if isinstance(photo, Unreadable):
                yield Found(sample.id, problem=photo.reason, sha256=photo.sha256)
                continue
            height, width = photo.pixels.shape[:2]
            thumbnail = b""
            try:
                regions, problem = self._finder(sample, photo.pixels), ""
                if sample.sequence is not None:
                    regions, thumbnail = appearance.described(photo.pixels, regions), appearance.thumbnail(photo.pixels)
            except BadImage as error:
                regions, problem = (), str(error)
            except Exception as error:  # one bad sample never ends a run
                regions, problem = (), f"the detectors failed on it ({type(error).__name__})"
            counts["faces"] += len(regions)
            yield Found(sample.id, width, height, regions, problem, photo.sha256, thumbnail)

    def link(self, shard: Shard) -> dict[str, int]:
        """Make the regions of a sequence those of its tracks; no picture is read."""
        from dsanon.link import link

        config, paths = self.setup.config, [piece.found(self.setup.staging) for piece in shard.pieces()]
        require(*paths)
        rows = link(shard.samples, paths, config.regions, config.kept, "body" in self.setup.generators)
        write_found(shard.linked(self.setup.staging), rows)
        seal(shard.linked(self.setup.staging))
        return {"samples": len(shard.samples)}

    def render(self, shard: Shard, controls: Controls) -> dict[str, int]:
        """Anonymize and write the shard's samples, then its rows, and last its mark that it is done.

        Of a video that changes meanwhile every frame is withheld: which of them have changed nobody knows.
        """
        try:
            return self._render(shard, controls)
        except _Changed as error:
            return self._render(shard.without(error.samples, CHANGED), controls)

    def _render(self, shard: Shard, controls: Controls) -> dict[str, int]:
        for kind, (weights, sha256) in self.setup.generators.items():
            if kind not in self._painters:
                from dsanon.methods.ciagan import Painter

                refuse_altered(weights, sha256)
                self._painters[kind] = Painter(weights, self.setup.device, self.setup.config.batch)
        staging, self._recent = self.setup.staging, {}
        require(shard.regions(staging))
        # what kills workers is not read again; and where one died in this pass, the next takes photos one by one,
        # so that a second death has the right culprit
        died = {found.sample for found in read_found(shard.regions(staging)) if found.problem == DIED}
        shard = shard.without(died, DIED)
        at_once = 1 if shard.at(staging).exists() else _PIXELS_AT_ONCE
        rows = Rows(self.setup.config, self.setup.generators, self.setup.decisions, self.source, self.names, controls)
        with staged_map_rows(shard.map(staging)) as keep, self.source.sink(self.setup.data, self.names) as sink:
            found = read_found(shard.regions(staging))
            for batch in _batches(zip(self._read(shard), found, strict=True), at_once):
                self._render_batch(batch, rows, sink)
                keep(rows.settle())
                _give_back()
            read = {sample.file for sample in shard.samples if sample.problem != CHANGED}
            if changed := {file for file in read if self.source.altered(file)}:
                raise _Changed({sample.id for sample in shard.samples if sample.file in changed})
            hashes = sink.close()
        write_table(shard.manifest(staging), rows.finish(hashes))
        shard.at(staging).unlink(missing_ok=True)
        counts = {"samples": len(shard.samples), "faces": rows.regions, "quarantined": len(rows.withheld)}
        finish(shard, staging, counts, hashes, rows.released, rows.withheld)
        return counts

    def copy(self, shard: Shard, source: Bucket, names: Sequence[str], target: Bucket) -> dict[str, int]:
        """Copy finished samples within object storage, in the order of ``names``; the shard is only a number."""
        source.copy(names, target)
        return {"samples": len(names)}

    def _read(self, shard: Shard) -> Iterator[tuple[Sample, Photo | Unreadable]]:
        """The shard's photos; notes which one is under way, so that a death has a culprit."""
        at = shard.at(self.setup.staging)
        photos: Iterator[Photo | Unreadable] | None = None
        with explained(at):
            note = at.open("wb", buffering=0)
        with note:
            for number, sample in enumerate(shard.samples):
                with explained(at):
                    note.seek(0)
                    note.write(b"%d" % number)  # never shorter than what it overwrites
                if sample.problem:
                    photos = None
                    yield sample, Unreadable(sample.problem)
                    continue
                try:
                    photos = photos or self.source.read(shard.samples[number:])
                    photo = next(photos)
                except StorageError:  # no sample's fault
                    raise
                except Exception as error:  # it ended the iterator: the samples behind it need a new one
                    photo, photos = Unreadable(f"it could not be read ({type(error).__name__})"), None
                yield sample, photo

    def _render_batch(self, batch: Sequence[_Item], rows: Rows, sink: Sink) -> None:
        plans = [rows.plan(*item) for item in batch]
        ready = [(photo, plan) for (_, photo, _), plan in zip(batch, plans, strict=True) if plan is not None]
        painted = iter(self._paint([photo for photo, _ in ready], [plan for _, plan in ready]))
        for (sample, photo, found), plan in zip(batch, plans, strict=True):
            pixels = None if plan is None else next(painted)
            if pixels is None or not isinstance(photo, Photo):
                if plan is not None:
                    rows.withhold(sample, photo, found, "it could not be anonymized")
                _write(sink, sample, None)
            elif reason := _write(sink, sample, Photo(pixels, photo.encoding, photo.sha256)):
                rows.withhold(sample, photo, found, reason)
                _write(sink, sample, None)

    def _paint(self, photos: Sequence[Photo | Unreadable], plans: Sequence[list[Treatment]]) -> Sequence[Pixels | None]:
        """New pixels for each photo. If one of them breaks the batch each is tried alone; None where it fails."""
        pixels = [photo.pixels for photo in photos if isinstance(photo, Photo)]
        recent = dict(self._recent)
        try:
            face, body = self._painters.get("face"), self._painters.get("body")
            painted = render(pixels, plans, self._strength, face, recent, body)
            prune(recent)
            self._recent = recent  # only now: what is tried again starts from where this did
            return painted
        except Exception as error:
            if len(photos) == 1:
                _refuse_full_gpu(error)
                return [None]
            return [out for photo, plan in zip(photos, plans, strict=True) for out in self._paint([photo], [plan])]


def _refuse_full_gpu(error: Exception) -> None:
    """Raise DsanonError where it was no sample's fault, which would be withheld for it."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        raise DsanonError(
            "a GPU has no memory left to paint a single photo: use fewer --workers, a smaller --batch or --device cpu, "
            "and go on with --resume"
        ) from None


def _give_back() -> None:
    """Return freed memory to the system (glibc): rows that stay, among pictures that go, keep the heap from shrinking.

    Without it the memory of a long video grew by some 40 kB a frame.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


_Item = tuple[Sample, Photo | Unreadable, Found]


def _write(sink: Sink, sample: Sample, photo: Photo | None) -> str:
    """Why the sample could not be written, '' where it was. Raises OSError where the disk fails, not the sample."""
    try:
        sink.write(sample, photo)
    except StorageError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return str(error) if isinstance(error, BadImage) else f"it could not be stored ({type(error).__name__})"
    return ""


def _batches(items: Iterable[tuple[tuple[Sample, Photo | Unreadable], Found]], limit: int) -> Iterator[list[_Item]]:
    """Runs of samples that fit into memory together: they end at ``limit`` pixels."""
    batch: list[_Item] = []
    pixels = 0
    for (sample, photo), found in items:
        batch.append((sample, photo, found))
        pixels += photo.pixels.shape[0] * photo.pixels.shape[1] if isinstance(photo, Photo) else 0
        if pixels >= limit:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _open_finder(config: JobConfig, painted: bool) -> Any:
    """painted: a generator paints the bodies"""
    from dsanon.detectors import open_detectors
    from dsanon.landmarks import Landmarker
    from dsanon.models import store
    from dsanon.regions import RegionFinder

    detectors, landmarker = open_detectors(config.detectors), Landmarker(store.path("landmarks68"))
    return RegionFinder(detectors, landmarker, config.regions, config.kept, painted)
