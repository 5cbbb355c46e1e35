"""How fast replication is, beside what the stores give by themselves on the same machine.

- against the real endpoint, in turn: whole replication, a bare parallel scan and batch delete with
  the same threads and no Postgres, and a bare load of the same rows; medians, and the ratio to the
  slower of the two;
- ten times the backlog beside once the backlog, and the peak memory of the process;
- the age of the oldest record while records come in steadily, in ticks.

``BENCH_RECORDS`` is the backlog.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.backlog import connect, fill, replicator_on, settings, truncate
from bench.engines import TABLE, Engines, engines
from chalicelib.buffer import DELETE_BATCH, Buffer
from chalicelib.postgres.point_records import Document, PointRecordStore

ROUNDS = 3
BACKLOG = int(os.environ.get("BENCH_RECORDS", "10000"))
_STEADY_PER_S = 500
_TICK_S = 5.0
_TICKS = 4

console = Console()


def main() -> None:
    """Measure and print."""
    with engines() as found:
        _beside_the_stores(found)
        _ten_times(found)
        _steadily(found)


def _beside_the_stores(found: Engines) -> None:
    rates: dict[str, list[float]] = {"scan and delete": [], "load": [], "replication": []}
    for _ in track(range(ROUNDS), "beside the stores", console=console, transient=True):
        fill(found, BACKLOG)
        rates["scan and delete"].append(_rate(lambda: _scan_and_delete(found)))
        documents = fill(found, BACKLOG)
        rates["replication"].append(_rate(lambda: _replicate(found)))
        truncate(found)
        rates["load"].append(_rate(partial(_load, found, documents)))
        truncate(found)
    middle = {name: statistics.median(each) for name, each in rates.items()}
    limit = min(middle["scan and delete"], middle["load"])
    table = Table(f"{BACKLOG:,} records", "records/s, median", "of the slower store")
    for name, rate in middle.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / limit:.0%}")
    console.print(table)


def _ten_times(found: Engines) -> None:
    table = Table("backlog", "seconds, median", "of one time the backlog", "peak memory, MB")
    once_s = 0.0
    for times, rounds in ((1, ROUNDS), (10, 1)):
        runs = [_drain(found, times * BACKLOG) for _ in range(rounds)]
        seconds = statistics.median(run["seconds"] for run in runs)
        once_s = once_s or seconds
        peak = max(run["mb"] for run in runs)
        table.add_row(
            f"{times * BACKLOG:,}", f"{seconds:.1f}", f"{seconds / once_s:.2f}", f"{peak:.0f}"
        )
    console.print(table)


def _drain(found: Engines, records: int) -> dict[str, float]:
    """Replicate so many records in a process of its own; return its seconds and its peak memory."""
    for _ in range(records // BACKLOG):
        fill(found, BACKLOG)
    done = subprocess.run(
        [*_APART, "replicate", found.database_url, found.dynamodb_url],
        check=True,
        capture_output=True,
        text=True,
    )
    run: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert run["read"] == records, run
    truncate(found)
    return run


def _steadily(found: Engines) -> None:
    """Let records come in at a steady rate while a run is begun at each tick."""
    replicator = replicator_on(found.database, found.dynamodb_url)
    ages, counts = [], []
    with subprocess.Popen(
        [*_APART, "write", found.dynamodb_url, str(_STEADY_PER_S)], stdin=subprocess.PIPE
    ) as writer:
        time.sleep(_TICK_S)  # until it is under way
        for _ in track(range(_TICKS), "steadily", console=console, transient=True):
            tick_ends = time.monotonic() + _TICK_S
            run = replicator.run(
                lambda end=tick_ends: settings.replication_margin_s + end - time.monotonic()
            )
            ages.append(run.oldest_age_s)
            counts.append(run.read)
            time.sleep(max(0.0, tick_ends - time.monotonic()))
        writer.communicate()
    replicator.run(lambda: 900.0)
    truncate(found)
    table = Table("came in, records/s", "oldest, s", "ticks")
    age = max(ages)
    table.add_row(f"{sum(counts) / _TICKS / _TICK_S:,.0f}", f"{age:.1f}", f"{age / _TICK_S:.2f}")
    console.print(table)


_APART = (sys.executable, "-m", "bench.replication_process")


def _replicate(found: Engines) -> None:
    run = replicator_on(found.database, found.dynamodb_url).run(lambda: 900.0)
    assert run.written == run.deleted == BACKLOG, run


def _scan_and_delete(found: Engines) -> None:
    """What the buffer gives by itself: the same threads, and nothing done with what they read."""
    buffer = Buffer(connect(found.dynamodb_url), TABLE)
    segments = settings.replication_segments
    with (
        ThreadPoolExecutor(segments) as readers,
        ThreadPoolExecutor(settings.replication_deleters) as deleters,
    ):

        def read(segment: int) -> None:
            for items in buffer.pages(segment, segments, settings.replication_page):
                ids = [item["id"]["S"] for item in items]
                for first in range(0, len(ids), DELETE_BATCH):
                    deleters.submit(buffer.delete, ids[first : first + DELETE_BATCH])

        list(readers.map(read, range(segments)))


def _load(found: Engines, documents: list[Document]) -> None:
    """What Postgres gives by itself."""
    replica = PointRecordStore(found.database)
    page = settings.replication_page
    for first in range(0, len(documents), page):
        replica.add(documents[first : first + page])


def _rate(call: Callable[[], None]) -> float:
    """Return how many of the backlog's records a second the call has done."""
    started = time.monotonic()
    call()
    return BACKLOG / (time.monotonic() - started)
