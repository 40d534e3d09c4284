"""What a large run costs its driver, on synthetic rows: ``python tests/bench/scale.py --rows 10000000 FOLDER``.

Prints one JSON object: seconds (of this process's CPU, and of the clock), bytes, and the most memory that was this
process's own (mapped files, which the kernel drops at will, are not). docs/scale.md has its figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsanon import naming, plan
from dsanon.manifest import MANIFEST, merge, write_table
from dsanon.private_map import IDENTITY_MAP, lookup, read_map_rows, write_map, write_map_rows
from dsanon.sample import Sample
from dsanon.shards import CHUNK, FEW, MOST, make_shards

KEY = bytes(range(32))


def own_memory() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


@contextmanager
def measured(figures: dict[str, Any], name: str) -> Iterator[None]:
    """Note time and memory of the block under ``name``."""
    before, most, over = own_memory(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu, clock = time.process_time(), time.perf_counter()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        figures[name] = {
            "cpu_s": round(time.process_time() - cpu, 2),
            "clock_s": round(time.perf_counter() - clock, 2),
            "own_mb": round((max(most[0], own_memory()) - before) / 2**20),
        }


def hexadecimal(dice: np.random.Generator, rows: int, digits: int, prefix: str = "") -> pa.Array:
    """Random names, as a hash has them."""
    raw = np.frombuffer(dice.bytes(rows * digits // 2).hex().encode(), f"S{digits}")
    return pc.binary_join_element_wise(pa.scalar(prefix), pa.array(raw, pa.binary()).cast(pa.string()), "")


def drawn(dice: np.random.Generator, rows: int) -> tuple[pa.Table, pa.Table]:
    """Manifest and map of ``rows`` stills, with a labelled face each."""
    name, subject = hexadecimal(dice, rows, 16, "p"), hexadecimal(dice, rows, 16, "p")
    box = dice.uniform(0, 400, (rows, 2)).astype(np.float32)
    boxes = pa.FixedSizeListArray.from_arrays(np.hstack([box, box + 90]).ravel(), 4).cast(pa.list_(pa.float32()))
    same = {
        text: pa.array([text] * rows) for text in ("dataset", "face", "ciagan", "0123456789abcdef", "anonymized", "")
    }
    numbers = pa.array(np.zeros(rows, np.int32))
    manifest = pa.table(
        [name, name, same["dataset"], numbers, same["face"], boxes, subject, same["ciagan"],
         same["0123456789abcdef"], same["anonymized"], same[""], hexadecimal(dice, rows, 64)],
        schema=MANIFEST,
    )  # fmt: skip
    landmarks = pa.FixedSizeListArray.from_arrays(dice.uniform(0, 500, rows * 136).astype(np.float32), 136)
    transform = pa.FixedSizeListArray.from_arrays(dice.uniform(-1, 1, rows * 6).astype(np.float32), 6)
    floats, ids = (
        pa.list_(pa.float32()),
        pa.array([[i % 223, (i + 1) % 223] for i in range(rows)], pa.list_(pa.int32())),
    )
    people = pa.array([f"person {i // 10}" for i in range(rows)])
    files = pa.array([f"folder/{i:09d}.jpg" for i in range(rows)])
    private = pa.table(
        [name, numbers, files, hexadecimal(dice, rows, 64), people, subject, same["dataset"], ids,
         pa.array([[0.5, 0.5]] * rows, floats), landmarks.cast(floats), transform.cast(floats),
         pa.array(["annotation+hog"] * rows), pa.array(dice.uniform(0, 1, rows).astype(np.float32))],
        schema=IDENTITY_MAP,
    )  # fmt: skip
    return manifest, private


def renamed(table: pa.Table, name: pa.Array) -> pa.Table:
    """The same rows of other samples."""
    table = table.set_column(0, "sample", name)
    if "file" in table.column_names:
        table = table.set_column(1, "file", pc.binary_join_element_wise(name, pa.scalar("jpg"), "."))
    return table


def main() -> None:
    """Measure it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--map-rows", type=int, help="Only so many of them are in the private map.")
    arguments.add_argument("--shard-rows", type=int, help="Rows a shard [default: as the job has them].")
    arguments.add_argument("--subjects", type=int, default=100_000)
    given = arguments.parse_args()
    rows, folder = given.rows, given.folder
    mapped = min(rows, given.map_rows or rows)
    folder.mkdir(parents=True)
    figures: dict[str, Any] = {"rows": rows, "map_rows": mapped, "subjects": given.subjects}
    with measured(figures, "samples"):
        samples = [Sample(f"folder/{i:09d}.jpg", f"folder/{i:09d}.jpg") for i in range(rows)]
    with measured(figures, "shards"):
        figures["number_of_shards"] = len(make_shards(samples))
    del samples
    with measured(figures, "plan"):
        people = [f"person {i}" for i in range(given.subjects)]
        assigned = plan.assign_all(naming.Names(KEY), {"dataset": people}, 223)
        figures["distinct"] = len(set(assigned.values()))
    del assigned, people
    chunk = given.shard_rows or min(MOST, max(CHUNK, rows // FEW))
    manifests, maps = [], []
    dice = np.random.default_rng(7)
    manifest, private = drawn(dice, chunk)
    with measured(figures, "stage"):
        for number, first in enumerate(range(0, rows, chunk)):
            many = min(chunk, rows - first)
            name = hexadecimal(dice, many, 16, "p")
            manifests.append(folder / f"{number:06d}.manifest.parquet")
            write_table(manifests[-1], renamed(manifest.slice(0, many), name).cast(MANIFEST))
            if first < mapped:
                maps.append(folder / f"{number:06d}.map.parquet")
                write_map_rows(maps[-1], renamed(private.slice(0, many), name).cast(IDENTITY_MAP))
    figures["staged_bytes_a_row"] = {
        "manifest": round(sum(path.stat().st_size for path in manifests) / rows, 1),
        "map": round(sum(path.stat().st_size for path in maps) / mapped, 1),
    }
    merged = folder / "manifest.parquet"
    with measured(figures, "merge"):
        figures["samples_counted"] = merge(manifests, merged, folder).samples
    release = folder / "release"
    private_side = folder / "release.private"
    private_side.mkdir(mode=0o700)
    (private_side / "key").write_text(KEY.hex() + "\n")
    (private_side / "key").chmod(0o600)
    with measured(figures, "map"):
        write_map(private_side / "identity_map.parquet", read_map_rows(maps, folder), KEY)
    figures["bytes_a_row"] = {
        "manifest": round(merged.stat().st_size / rows, 1),
        "map": round((private_side / "identity_map.parquet").stat().st_size / mapped, 1),
    }
    with merged.open("rb") as file, measured(figures, "query"):
        parquet, found = pq.ParquetFile(file), 0
        for number in range(parquet.num_row_groups):
            statuses = parquet.read_row_group(number, columns=["status"])["status"]
            found += pc.sum(pc.equal(statuses, "anonymized")).as_py()
        figures["found"] = found
    with measured(figures, "lookup"):
        figures["looked_up"] = len(lookup(release, subject="person 0"))
    with merged.open("rb") as file:
        figures["manifest_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
