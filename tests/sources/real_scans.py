"""The scan of a real dataset, as the tests of each adapter begin."""

from __future__ import annotations

import time

from dsanon.sample import Sample
from dsanon.sources import Source


def scanned(source: Source, count: int) -> list[Sample]:
    """The samples: ``count`` of them, in source order, found in less than 10 s."""
    start = time.perf_counter()
    samples = source.samples()
    assert time.perf_counter() - start < 10
    assert len(samples) == count
    assert [sample.id for sample in samples] == sorted(sample.id for sample in samples)
    return samples
