"""Damage by Hypothesis: whole files, changed here and there; what breaks a parser is shrunk to the least that does."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzz.parser import Parser
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dsanon.errors import BadImage, UsageError

SECONDS = 10  # of the processor's time that one file may take
WAIT = 60  # seconds of the clock that it may take: the machine may have other work, but a pipe would be waited for
MEMORY = 3 * 2**30  # bytes that one file may take, beyond what is loaded


@st.composite
def damaged(draw: Any, seeds: list[bytes], words: list[bytes]) -> bytes:
    """One of the files, with up to six places changed, cut out, doubled, or replaced by a word."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        match draw(st.sampled_from(["set", "cut", "end", "double", "word"])):
            case "set" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + length]
            case "end":
                del data[at:]
            case "double":
                data[at:at] = data[at : at + length]
            case "word":
                data[at : at + length] = draw(st.sampled_from(words))
    return bytes(data)


class Hang(BaseException):
    """A file took too long."""


def feed(parser: Parser, data: bytes, folder: Path) -> None:
    """Let the parser read ``data``; a refusal is fine. Raises whatever else it raises, and Hang."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    try:
        parser.read(data, folder)
    except (UsageError, BadImage):
        return
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def bounded() -> Iterator[None]:
    """A limit of memory, and an end of what hangs."""

    def late(*_: object) -> None:
        raise Hang(f"more than {SECONDS} s of work, or {WAIT} s of waiting")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handlers = {number: signal.signal(number, late) for number in (signal.SIGALRM, signal.SIGPROF)}
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def fuzz(parser: Parser, folder: Path, number: int, examples: int = 200) -> int:
    """Feed one batch of damaged files, the same for the same number; how many (more where Hypothesis drew twice).

    Raises what a parser raises, with the file as a note.
    """
    fed, latest = 0, b""

    def one(data: bytes) -> None:
        nonlocal fed, latest
        fed, latest = fed + 1, data
        (folder / "latest").write_bytes(data)  # what a crash of the process leaves
        feed(parser, data, folder)

    options = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with bounded():
        try:
            seed(number)(options(given(damaged(parser.seeds(), parser.words))(one)))()
        except BaseException as error:
            error.add_note(f"file: {latest!r:.600}")
            raise
    return fed
