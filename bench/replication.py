"""Measure replication beside the bare stores on the same machine.

- Against the real endpoint, in turns: replication, a bare parallel scan and batch delete with the
  same threads and no Postgres, and a bare load of the same rows. Medians, and the ratio to the
  slower of the two.
- Ten times the backlog beside one, and the peak memory of the process.
- The age of the oldest record, in ticks, while records arrive at a steady rate.

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
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.backlog import connect, fill, replicator_on, settings, truncate
from bench.engines import TABLE, Engines, engines
from chalicelib.buffered_items import DELETE_BATCH, BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.journal.journal_directory import DirectoryFiles
from chalicelib.journal.journal_files import Journal
from chalicelib.postgres.documents import Document
from chalicelib.postgres.point_records import PointRecordStore

ROUNDS = 3
BACKLOG = int(os.environ.get("BENCH_RECORDS", "10000"))
_STEADY_PER_S = 500
_TICK_S = 5.0
_TICKS = 4

console = Console()


def main() -> None:
    """Measure and print."""
    with engines() as stores:
        _compare_with_bare_stores(stores)
        _compare_backlogs(stores)
        _measure_age(stores)


def _compare_with_bare_stores(stores: Engines) -> None:
    rates: dict[str, list[float]] = {
        "scan and delete": [],
        "load": [],
        "replication": [],
        "replication with a journal": [],
    }
    for _ in track(range(ROUNDS), "replication", console=console, transient=True):
        fill(stores, BACKLOG)
        rates["scan and delete"].append(_rate(lambda: _scan_and_delete(stores)))
        documents = fill(stores, BACKLOG)
        rates["replication"].append(_rate(lambda: _replicate(stores)))
        truncate(stores)
        fill(stores, BACKLOG)
        with TemporaryDirectory() as directory:
            with_journal = partial(_replicate, stores, Journal(DirectoryFiles(directory)))
            rates["replication with a journal"].append(_rate(with_journal))
        truncate(stores)
        rates["load"].append(_rate(partial(_load, stores, documents)))
        truncate(stores)
    medians = {name: statistics.median(each) for name, each in rates.items()}
    limit = min(medians["scan and delete"], medians["load"])
    table = Table(f"{BACKLOG:,} records", "records/s, median", "of the slower store")
    for name, rate in medians.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / limit:.0%}")
    console.print(table)


def _compare_backlogs(stores: Engines) -> None:
    table = Table("backlog", "seconds, median", "of one time the backlog", "peak memory, MB")
    once_s = 0.0
    for times, rounds in ((1, ROUNDS), (10, 1)):
        runs = [_drain(stores, times * BACKLOG) for _ in range(rounds)]
        seconds = statistics.median(run["seconds"] for run in runs)
        once_s = once_s or seconds
        peak = max(run["mb"] for run in runs)
        table.add_row(
            f"{times * BACKLOG:,}", f"{seconds:.1f}", f"{seconds / once_s:.2f}", f"{peak:.0f}"
        )
    console.print(table)


def _drain(stores: Engines, records: int) -> dict[str, float]:
    """Replicate a backlog in another process; return its seconds and its peak memory."""
    for _ in range(records // BACKLOG):
        fill(stores, BACKLOG)
    done = subprocess.run(
        [*_PROCESS, "replicate", stores.database_url, stores.dynamodb_url],
        check=True,
        capture_output=True,
        text=True,
    )
    run: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert run["read"] == records, run
    truncate(stores)
    return run


def _measure_age(stores: Engines) -> None:
    """Write records at a steady rate while a run starts at each tick."""
    replicator = replicator_on(stores.database, stores.dynamodb_url)
    ages, counts = [], []
    with subprocess.Popen(
        [*_PROCESS, "write", stores.dynamodb_url, str(_STEADY_PER_S)], stdin=subprocess.PIPE
    ) as writer:
        time.sleep(_TICK_S)  # let the writer start
        for _ in track(range(_TICKS), "steady load", console=console, transient=True):
            tick_ends = time.monotonic() + _TICK_S
            run = replicator.run(partial(_remaining_s, tick_ends))
            ages.append(run.oldest_age_s)
            counts.append(run.read)
            time.sleep(max(0.0, tick_ends - time.monotonic()))
        writer.communicate()
    replicator.run(lambda: 900.0)
    truncate(stores)
    table = Table("arrived, records/s", "oldest, s", "ticks")
    age = max(ages)
    table.add_row(f"{sum(counts) / _TICKS / _TICK_S:,.0f}", f"{age:.1f}", f"{age / _TICK_S:.2f}")
    console.print(table)


_PROCESS = (sys.executable, "-m", "bench.replication_process")


def _remaining_s(tick_ends: float) -> float:
    return settings.replication_margin_s + tick_ends - time.monotonic()


def _replicate(stores: Engines, journal: Journal | None = None) -> None:
    replicator = replicator_on(stores.database, stores.dynamodb_url, journal)
    run = replicator.run(lambda: 900.0)
    assert run.written == run.deleted == BACKLOG, run


def _scan_and_delete(stores: Engines) -> None:
    """Scan and delete with the same threads, without Postgres."""
    buffer = BufferedItems(connect(stores.dynamodb_url), TABLE)
    pace = DeletePace()
    segments = settings.replication_segments
    with (
        ThreadPoolExecutor(segments) as readers,
        ThreadPoolExecutor(settings.replication_deleters) as deleters,
    ):

        def read(segment: int) -> None:
            for items in buffer.pages(segment, segments, settings.replication_page):
                ids = [item["id"]["S"] for item in items]
                for first in range(0, len(ids), DELETE_BATCH):
                    deleters.submit(buffer.delete, ids[first : first + DELETE_BATCH], pace)

        list(readers.map(read, range(segments)))


def _load(stores: Engines, documents: list[Document]) -> None:
    """Load the records into Postgres, without a buffer."""
    store = PointRecordStore(stores.database)
    page = settings.replication_page
    for first in range(0, len(documents), page):
        store.add(documents[first : first + page])


def _rate(call: Callable[[], None]) -> float:
    """Return the records a second of a call that handles the whole backlog."""
    started = time.monotonic()
    call()
    return BACKLOG / (time.monotonic() - started)
