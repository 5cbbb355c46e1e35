"""How fast replication is, beside what the stores give by themselves on the same machine.

- against the real endpoint, in turn: whole replication, a bare parallel scan and batch delete with
  the same threads and no Postgres, and a bare load of the same rows; medians, and the ratio to the
  slower of the two;
- ten times the backlog beside once the backlog, and the peak memory of the process;
- the age of the oldest record while records come in steadily, in ticks;
- against an endpoint that answers at once: our own CPU for a record, with its parts.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engines import TABLE, Engines, engines
from bench.punches import punch
from chalicelib import container
from chalicelib.buffer import DELETE_BATCH, Buffer
from chalicelib.point_record import from_json, to_json
from chalicelib.postgres.connection import Database
from chalicelib.postgres.replica import Document, Replica
from chalicelib.replicator import Replicator
from chalicelib.settings import Settings
from local.dynamodb.server import CREDENTIALS

ROUNDS = 3
BACKLOG = int(os.environ.get("BENCH_RECORDS", "10000"))
_OWN = 50_000
_STEADY_PER_S = 500
_TICK_S = 5.0
_TICKS = 4

settings = Settings()
console = Console()


def main() -> None:
    """Measure and print."""
    with engines() as found:
        _beside_the_stores(found)
        _ten_times(found)
        _steadily(found)
        _own_bound(found)


def _beside_the_stores(found: Engines) -> None:
    rates: dict[str, list[float]] = {"scan and delete": [], "load": [], "replication": []}
    for _ in track(range(ROUNDS), "beside the stores", console=console, transient=True):
        fill(found, BACKLOG)
        rates["scan and delete"].append(_rate(BACKLOG, lambda: _scan_and_delete(found)))
        documents = fill(found, BACKLOG)
        rates["replication"].append(_rate(BACKLOG, lambda: _replicate(found)))
        truncate(found)
        started = time.monotonic()
        _load(found, documents)
        rates["load"].append(BACKLOG / (time.monotonic() - started))
        truncate(found)
    middle = {name: statistics.median(each) for name, each in rates.items()}
    limit = min(middle["scan and delete"], middle["load"])
    table = Table(f"{BACKLOG:,} records", "records/s, median", "of the slower store")
    for name, rate in middle.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / limit:.0%}")
    console.print(table)


def _ten_times(found: Engines) -> None:
    table = Table("backlog", "seconds", "of one time the backlog", "peak memory, MB")
    first_s = 0.0
    for times in (1, 10):
        fill(found, times * BACKLOG)
        done = subprocess.run(
            [sys.executable, "-m", "bench.replication", found.database_url, found.dynamodb_url],
            check=True,
            capture_output=True,
            text=True,
        )
        run = json.loads(done.stdout.splitlines()[-1])
        first_s = first_s or run["seconds"]
        ratio = f"{run['seconds'] / first_s:.2f}"
        table.add_row(f"{times * BACKLOG:,}", f"{run['seconds']:.1f}", ratio, f"{run['mb']:.0f}")
        truncate(found)
    console.print(table)


def _steadily(found: Engines) -> None:
    """Let records come in at a steady rate while a run is begun at each tick."""
    ended = threading.Event()

    def come_in() -> None:
        client = connect(found.dynamodb_url)
        started, sent = time.monotonic(), 0
        while not ended.is_set():
            due = int((time.monotonic() - started) * _STEADY_PER_S) - sent
            for _ in range(0, due, 25):
                _put(client, [_document(created_now=True) for _ in range(25)])
                sent += 25
            ended.wait(0.02)

    writer = threading.Thread(target=come_in)
    writer.start()
    replicator = replicator_on(connect(found.dynamodb_url), found)
    ages, counts = [], []
    for _ in track(range(_TICKS), "steadily", console=console, transient=True):
        tick_ends = time.monotonic() + _TICK_S
        run = replicator.run(
            lambda end=tick_ends: settings.replication_margin_s + end - time.monotonic()
        )
        ages.append(run.oldest_age_s)
        counts.append(run.read)
        time.sleep(max(0.0, tick_ends - time.monotonic()))
    ended.set()
    writer.join()
    replicator.run(lambda: 900.0)
    truncate(found)
    table = Table("came in, records/s", "oldest, s", "ticks")
    age = max(ages)
    table.add_row(f"{sum(counts) / _TICKS / _TICK_S:,.0f}", f"{age:.1f}", f"{age / _TICK_S:.2f}")
    console.print(table)


def _own_bound(found: Engines) -> None:
    page = settings.replication_page
    arguments = ["--items", str(_OWN), "--page", str(page)]
    table = Table("CPU for a record", "µs", "alone, records/s")
    with subprocess.Popen(
        [sys.executable, "-m", "bench.instant_dynamodb", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as endpoint:
        assert endpoint.stdout is not None
        url = json.loads(endpoint.stdout.readline())["url"]
        client = connect(url)
        seconds = time.monotonic()
        spent = time.process_time()
        run = replicator_on(client, found).run(lambda: 900.0)
        spent = time.process_time() - spent
        seconds = time.monotonic() - seconds
        endpoint.terminate()
    assert run.written == _OWN, run
    truncate(found)
    rows = {"whole": spent / _OWN, "waiting (elapsed)": seconds / _OWN, **_parts(found)}
    for name, each_s in rows.items():
        table.add_row(name, f"{each_s * 1e6:.0f}", f"{1 / each_s:,.0f}")
    console.print(table)


def _parts(found: Engines) -> dict[str, float]:
    """CPU of each part for a record, measured alone."""
    many = 10 * settings.replication_page
    arguments = ["--items", str(many), "--page", str(settings.replication_page)]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.instant_dynamodb", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as endpoint:
        assert endpoint.stdout is not None
        buffer = Buffer(connect(json.loads(endpoint.stdout.readline())["url"]), TABLE)
        pages: list[list[dict[str, Any]]] = []

        def scan() -> None:
            pages.extend(buffer.pages(0, 1, settings.replication_page))

        def check() -> None:
            for items in pages:
                for item in items:
                    from_json(item["record"]["S"])

        def delete() -> None:
            for items in pages:
                for first in range(0, len(items), DELETE_BATCH):
                    buffer.delete([item["id"]["S"] for item in items[first : first + DELETE_BATCH]])

        def commit() -> None:
            replica = Replica(found.database)
            for items in pages:
                replica.add([Document(each["id"]["S"], each["record"]["S"]) for each in items])

        costs = {
            "  scan: boto3 and its parsing": _cpu(scan) / many,
            "  check: JSON and identity": _cpu(check) / many,
            "  commit: handing over to Postgres": _cpu(commit) / many,
            "  delete: boto3, 25 a call": _cpu(delete) / many,
        }
        endpoint.terminate()
    truncate(found)
    return costs


def replicator_on(client: Any, found: Engines, **others: int) -> Replicator:
    usual = {
        "segments": settings.replication_segments,
        "page": settings.replication_page,
        "deleters": settings.replication_deleters,
    }
    return Replicator(
        Buffer(client, TABLE),
        Replica(found.database),
        **(usual | others),
        margin_s=settings.replication_margin_s,
    )


def connect(url: str) -> Any:
    """Return a client as the service has it."""
    os.environ |= CREDENTIALS | {"AWS_ENDPOINT_URL_DYNAMODB": url}
    return container.dynamodb.__wrapped__()


def _replicate(found: Engines) -> None:
    run = replicator_on(connect(found.dynamodb_url), found).run(lambda: 900.0)
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
    replica = Replica(found.database)
    page = settings.replication_page
    for first in range(0, len(documents), page):
        replica.add(documents[first : first + page])


def fill(found: Engines, count: int) -> list[Document]:
    """Put ``count`` records into the buffer and return them."""
    documents = [_document() for _ in range(count)]
    batches = [documents[first : first + 25] for first in range(0, count, 25)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda batch: _put(found.dynamodb, batch), batches))
    return documents


def _document(*, created_now: bool = False) -> Document:
    record = punch()
    if created_now:
        record = replace(record, created_at=datetime.now(UTC))
    return Document(str(record.id), json.dumps(to_json(record)))


def _put(client: Any, batch: list[Document]) -> None:
    requests = [
        {"PutRequest": {"Item": {"id": {"S": each.id}, "record": {"S": each.text}}}}
        for each in batch
    ]
    answer = client.batch_write_item(RequestItems={TABLE: requests})
    assert not answer["UnprocessedItems"]


def truncate(found: Engines) -> None:
    with found.database.transaction() as connection:
        connection.run("TRUNCATE point_record CASCADE")


def _rate(count: int, call: Callable[[], None]) -> float:
    started = time.monotonic()
    call()
    return count / (time.monotonic() - started)


def _cpu(call: Callable[[], None]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _run_alone(database_url: str, dynamodb_url: str) -> None:
    """Replicate in this process and print how long it took and how much memory."""
    database = Database(database_url, pool=1, connect_timeout_s=5, statement_timeout_s=900)
    replicator = Replicator(
        Buffer(connect(dynamodb_url), TABLE),
        Replica(database),
        segments=settings.replication_segments,
        page=settings.replication_page,
        deleters=settings.replication_deleters,
        margin_s=settings.replication_margin_s,
    )
    run = replicator.run(lambda: 3600.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": run.seconds, "read": run.read, "mb": peak}))


if __name__ == "__main__":
    _run_alone(*sys.argv[1:])
