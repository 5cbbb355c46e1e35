"""Our own bound: what a record costs us against a DynamoDB that answers at once, with its parts.

Postgres is the real one; its CPU is its own and not counted.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.backlog import connect, replicator_on, settings, truncate
from bench.engines import TABLE, Engines, engines
from bench.instant_http import running
from chalicelib.buffer import DELETE_BATCH, Buffer
from chalicelib.point_record import from_json
from chalicelib.postgres.point_records import Document, PointRecordStore

_RECORDS = 50_000
_RECORDS_OF_PARTS = 10 * settings.replication_page


def main() -> None:
    """Measure and print."""
    with engines() as found:
        rows = {**_whole(found), **_parts(found)}
    table = Table("CPU for a record", "µs", "alone, records/s")
    for name, each_s in rows.items():
        table.add_row(name, f"{each_s * 1e6:.0f}", f"{1 / each_s:,.0f}")
    Console().print(table)


def _instant_dynamodb(records: int) -> AbstractContextManager[str]:
    """Run an endpoint that has ``records`` and answers at once; it yields the URL."""
    page = str(settings.replication_page)
    return running("bench.instant_dynamodb", "--items", str(records), "--page", page)


def _whole(found: Engines) -> dict[str, float]:
    with _instant_dynamodb(_RECORDS) as url:
        replicator = replicator_on(found.database, url)
        started, spent = time.monotonic(), time.process_time()
        run = replicator.run(lambda: 900.0)
        seconds, spent = time.monotonic() - started, time.process_time() - spent
    assert run.written == _RECORDS, run
    truncate(found)
    return {"whole": spent / _RECORDS, "elapsed, waiting included": seconds / _RECORDS}


def _parts(found: Engines) -> dict[str, float]:
    """CPU of each part for a record, measured alone."""
    with _instant_dynamodb(_RECORDS_OF_PARTS) as url:
        buffer = Buffer(connect(url), TABLE)
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
            replica = PointRecordStore(found.database)
            for items in pages:
                replica.add([Document(each["id"]["S"], each["record"]["S"]) for each in items])

        costs = {
            "  scan: boto3 and its parsing": _cpu(scan),
            "  check: JSON, types, id": _cpu(check),
            "  commit: handing over to Postgres": _cpu(commit),
            "  delete: boto3, 25 a call": _cpu(delete),
        }
    truncate(found)
    return {name: each / _RECORDS_OF_PARTS for name, each in costs.items()}


def _cpu(call: Callable[[], None]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started
