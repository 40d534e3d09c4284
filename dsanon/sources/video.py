"""Video files in, video files out: one sample for each frame, in presentation order.

The release holds nothing but re-encoded pictures and their times: no sound, subtitles, tags, chapters or covers.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.error import FFmpegError

from dsanon.errors import BadImage, DsanonError, SourceError
from dsanon.naming import Names
from dsanon.sample import Encoding, Photo, Pixels, Sample, Unreadable
from dsanon.seals import is_still
from dsanon.sources.clip import EXACT, Clip, decoded, fingerprint, probe, to_rgb
from dsanon.sources.stills import link_problem, printable, walk
from dsanon.sources.tree import disk_version

SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v"})
# suffix → container that can hold H.264 with time stamps; whatever is not here is released as .mp4
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
QUALITY = "18"  # x264's constant rate factor: visually the source's
# x264's macroblock tree reads memory that it never wrote, so that the bytes would differ from run to run
X264 = {"crf": QUALITY, "preset": "fast", "mbtree": "0"}
GREY = 128


class VideoSource:
    """One video file, or a folder of them."""

    dataset = "video"
    scope = "sequence"
    regions = "face"

    def __init__(self, root: Path) -> None:
        expected = f"--dataset video expects a folder or one of {', '.join(sorted(SUFFIXES))}"
        if not root.exists():
            raise SourceError(f"found nothing at {os.fspath(root)!r}: {expected}")
        single = not root.is_dir()
        if single and root.suffix.lower() not in SUFFIXES:
            raise SourceError(f"found a file that is no video at {os.fspath(root)!r}: {expected}")
        self.root = root.resolve() if single else root.absolute()
        self._folder = self.root.parent if single else self.root
        self._read: dict[str, str] = {}  # file → the sha256 that it had when its frames were first asked for

    def samples(self) -> list[Sample]:
        """A sample for each frame; a file that cannot be opened is one sample with a problem. Raises SourceError."""
        files, _ = self._files()
        if not files:
            raise SourceError(f"no video below {os.fspath(self.root)!r}: expected {', '.join(sorted(SUFFIXES))} files")
        # '#' behind the path orders 'a.mp4' against 'a.mp4 b.mp4' as the ids are ordered
        return [sample for file in sorted(files, key=lambda file: printable(file) + "#") for sample in self._scan(file)]

    def read(self, samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        """Decode ``samples`` in order, one item for each; memory holds one frame."""
        for file, group in itertools.groupby(samples, key=lambda sample: sample.file):
            yield from self._read_run(file, list(group))

    def target(self, sample: Sample, names: Names) -> str:
        """Pseudonyms for the folders and the file; a container that cannot hold H.264 becomes .mp4."""
        *folders, _ = PurePosixPath(sample.file).parts
        above = [
            names.token("video folder", "/".join(folders[: depth + 1]), prefix="d") for depth in range(len(folders))
        ]
        suffix = PurePosixPath(sample.file).suffix.lower()
        return "/".join(
            [*above, names.token("video", sample.file, prefix="v") + (suffix if suffix in CONTAINERS else ".mp4")]
        )

    def sink(self, data: Path, names: Names) -> VideoSink:
        """A writer for whole files."""
        return VideoSink(self, data, names)

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Sentences only: videos have no annotation files."""
        files, others = self._files()
        changed = sum(PurePosixPath(file).suffix.lower() not in CONTAINERS for file in files)
        sentences = [
            f"Every video was encoded anew as H.264 (8 bits, CRF {QUALITY}) with the size, the frame rate and the"
            " time stamps of its source; odd widths or heights are stored as 4:4:4. Sound, subtitles, further"
            " tracks, chapters, cover pictures and all metadata were left out.",
            "Names of files and folders were replaced by pseudonyms.",
            "A frame that could not be decoded is plain grey.",
        ]
        if changed:
            sentences.append(f"{changed} files whose container cannot hold H.264 (.avi, .webm) became .mp4.")
        if others:
            sentences.append(f"{len(others)} other entries beside the videos were not released.")
        return sentences

    def version(self, file: str) -> str:
        """What tells that a file changed."""
        return disk_version(self._folder / file)

    def inputs(self) -> list[Path]:
        """None: the samples depend on the videos only."""
        return []

    def path(self, file: str) -> Path:
        """Where ``file`` of a sample lies on disk."""
        return self._folder / file

    def _files(self) -> tuple[list[str], list[str]]:
        """(videos, other entries), as paths relative to the folder."""
        if self._folder != self.root:
            return [self.root.name], []
        images, others = walk(self.root)
        videos = [
            file
            for file in others
            if PurePosixPath(file).suffix.lower() in SUFFIXES
            and not PurePosixPath(file).name.startswith(".")
            and not self.path(file).is_dir()
        ]
        return videos, sorted({*images, *others} - set(videos))

    def altered(self, file: str) -> bool:
        """Whether a file of which frames were read has other bytes by now: theirs may be of another picture."""
        return file in self._read and not is_still(self.path(file), self._read[file])

    def _scan(self, file: str) -> list[Sample]:
        name = printable(file)
        try:
            clip = self._probe(file)
        except BadImage as error:
            return [Sample(f"{name}#000000", file, sequence=name, problem=str(error))]
        digits = max(6, len(str(len(clip.times) - 1)))
        size = (clip.width, clip.height)
        return [
            Sample(
                f"{name}#{frame:0{digits}d}",
                file,
                frame=frame,
                sequence=name,
                size=size,
                time=float((time - clip.times[0]) * clip.time_base),
            )
            for frame, time in enumerate(clip.times)
        ]

    def _probe(self, file: str) -> Clip:
        problem = link_problem(self._folder, file)
        if problem:
            raise BadImage(problem)
        return probe(self.path(file))

    def _read_run(self, file: str, run: list[Sample]) -> Iterator[Photo | Unreadable]:
        """The frames of a contiguous ``run`` of one file, decoded from its start."""
        try:
            if run[0].problem or run[0].frame is None:
                raise BadImage(run[0].problem or "no frame of the file is known")
            clip = self._probe(file)
            sha256 = self._read[file] = fingerprint(self.path(file))
        except (BadImage, OSError) as error:
            reason = str(error) if isinstance(error, BadImage) else f"the file cannot be read: {error.strerror}"
            yield from (Unreadable(reason) for _ in run)
            return

        due, last, count = run[0].frame, run[0].frame + len(run) - 1, len(clip.times)
        missing = Unreadable(
            "the frame cannot be decoded, or is of another size: the file is damaged or cut off", sha256
        )
        surplus = False
        final: Photo | Unreadable | None = None  # of the file: held back until its end is seen
        for index, frame in decoded(self.path(file), clip):
            if index >= count:
                surplus = True
                continue
            if index > last:
                break
            for _ in range(due, index):
                yield missing
            if index < due:
                continue
            due = index + 1
            pixels = to_rgb(frame, clip)
            photo = Photo(pixels, Encoding("H264"), sha256) if pixels is not None else missing
            if due == count:
                final = photo
            else:
                yield photo
        for _ in range(due, last + 1):
            yield missing
        if final is not None:
            yield Unreadable("more frames follow than the file's index tells", sha256) if surplus else final


class VideoSink:
    """Encodes the files of a shard one after the other; each is written aside and renamed when complete."""

    def __init__(self, source: VideoSource, data: Path, names: Names) -> None:
        self._source = source
        self._data = data
        self._names = names
        self._file = ""
        self._next = 0
        self._encoder: _Encoder | None = None
        self._written: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._encoder:
            self._encoder.abandon()
            self._encoder = None

    def write(self, sample: Sample, photo: Photo | None) -> None:
        """Append one frame, plain grey for ``None``. A file that could not be opened is left out."""
        if sample.frame is None:
            if photo is not None:
                raise DsanonError(f"{sample.id}: a file without known frames cannot be written")
            return
        if sample.file != self._file:
            self._finish()
            self._open(sample)
        if self._encoder is None or sample.frame != self._next:
            raise DsanonError(f"{sample.id}: frame {self._next} was expected, a video is written by one sink in order")
        self._encoder.append(sample.frame, None if photo is None else photo.pixels)
        self._next += 1

    def close(self) -> dict[str, str]:
        """Finish the last file; released path → sha256 of its bytes."""
        self._finish()
        return dict(self._written)

    def _open(self, sample: Sample) -> None:
        target = self._source.target(sample, self._names)
        if target in self._written:
            raise DsanonError(f"{sample.id}: the file was already finished, its frames must come in one run")
        clip = probe(self._source.path(sample.file))
        self._encoder = _Encoder(clip, self._data / target)
        self._file, self._target, self._next = sample.file, target, 0

    def _finish(self) -> None:
        if self._encoder:
            self._written[self._target] = self._encoder.finish()
            self._encoder = None


class _Encoder:
    """One H.264 file. The bytes depend on the pixels and times only: one thread, no clock, no tags."""

    def __init__(self, clip: Clip, final: Path) -> None:
        self._clip = clip
        self._final = final
        final.parent.mkdir(parents=True, exist_ok=True)
        self._aside = final.parent / f".{final.name}.partial"
        self._aside.unlink(missing_ok=True)
        # a format with both sides even can halve its colour planes, any other keeps them whole
        self._format = "yuv420p" if clip.width % 2 == 0 and clip.height % 2 == 0 else "yuv444p"
        self._container = av.open(
            os.fspath(self._aside), "w", format=CONTAINERS[final.suffix], options={"fflags": "+bitexact"}
        )
        try:
            self._stream = self._open_stream(clip)
        except BaseException:
            self.abandon()
            raise

    def _open_stream(self, clip: Clip) -> Any:
        stream: Any = self._container.add_stream("libx264", rate=clip.rate)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, self._format
        context = stream.codec_context
        context.time_base = stream.time_base = clip.time_base
        context.thread_count = 1
        context.options = dict(X264)
        context.flags |= av.codec.context.Flags.bitexact
        context.color_range, context.colorspace = av.video.reformatter.ColorRange.MPEG, clip.colorspace
        context.color_primaries, context.color_trc = clip.primaries, clip.transfer
        if clip.aspect:
            context.sample_aspect_ratio = clip.aspect
        return stream

    def append(self, index: int, pixels: Pixels | None) -> None:
        clip = self._clip
        shape = (clip.height, clip.width, 3)
        if index >= len(clip.times) or (pixels is not None and pixels.shape != shape):
            raise DsanonError(f"frame {index} does not fit the source video: it changed while the job ran")
        if pixels is None:
            pixels = np.full(shape, GREY, np.uint8)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
            format=self._format,
            dst_colorspace=clip.matrix,
            dst_color_range=av.video.reformatter.ColorRange.MPEG,
            interpolation=EXACT,
            threads=1,
        )
        frame.pts, frame.time_base = clip.times[index], clip.time_base
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> str:
        """Flush, rename, and return the sha256 of the file."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            with self._aside.open("rb+") as file:
                os.fsync(file.fileno())
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            self._aside.replace(self._final)
            return sha256
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Leave nothing behind."""
        try:
            self._container.close()
        except (FFmpegError, OSError):  # no trailer can be written behind a failed header or a full disk
            pass
        finally:
            self._aside.unlink(missing_ok=True)
