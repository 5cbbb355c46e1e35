"""Measure the replicator's own CPU per record, and its parts, against an instant DynamoDB endpoint.

Postgres is real; its CPU is not counted.
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
from chalicelib.buffered_items import DELETE_BATCH, BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.point_record import from_json
from chalicelib.postgres.documents import Document
from chalicelib.postgres.point_records import PointRecordStore

_RECORDS = 50_000
_RECORDS_OF_PARTS = 10 * settings.replication_page


def main() -> None:
    """Measure and print."""
    with engines() as stores:
        rows = {**_whole(stores), **_parts(stores)}
    table = Table("CPU per record", "µs", "alone, records/s")
    for name, each_s in rows.items():
        table.add_row(name, f"{each_s * 1e6:.0f}", f"{1 / each_s:,.0f}")
    Console().print(table)


class _ShallowBuffer(BufferedItems):
    """A buffer for one replicator: the endpoint cannot tell a scan that counts from others."""

    def depth(self) -> int:
        return 0


def _instant_dynamodb(records: int) -> AbstractContextManager[str]:
    """Run an instant endpoint with ``records`` items; yield its URL."""
    page = str(settings.replication_page)
    return running("bench.instant_dynamodb", "--items", str(records), "--page", page)


def _whole(stores: Engines) -> dict[str, float]:
    with _instant_dynamodb(_RECORDS) as url:
        replicator = replicator_on(stores.database, url, None, _ShallowBuffer)
        started, spent = time.monotonic(), time.process_time()
        run = replicator.run(lambda: 900.0)
        seconds, spent = time.monotonic() - started, time.process_time() - spent
    assert run.written == _RECORDS, run
    truncate(stores)
    return {"whole": spent / _RECORDS, "elapsed, with waits": seconds / _RECORDS}


def _parts(stores: Engines) -> dict[str, float]:
    """Return the CPU seconds per record of each part, measured alone."""
    with _instant_dynamodb(_RECORDS_OF_PARTS) as url:
        buffer = BufferedItems(connect(url), TABLE)
        pages: list[list[dict[str, Any]]] = []

        def scan() -> None:
            pages.extend(buffer.pages(0, 1, settings.replication_page))

        def check() -> None:
            for items in pages:
                for item in items:
                    from_json(item["record"]["S"])

        def delete() -> None:
            pace = DeletePace()
            for items in pages:
                ids = [item["id"]["S"] for item in items]
                for first in range(0, len(ids), DELETE_BATCH):
                    buffer.delete(ids[first : first + DELETE_BATCH], pace)

        def commit() -> None:
            store = PointRecordStore(stores.database)
            for items in pages:
                store.add([Document(each["id"]["S"], each["record"]["S"]) for each in items])

        costs = {
            "  scan: boto3 and its parsing": _cpu(scan),
            "  check: JSON, types, id": _cpu(check),
            "  commit: handing over to Postgres": _cpu(commit),
            "  delete: boto3, 25 a call": _cpu(delete),
        }
    truncate(stores)
    return {name: each / _RECORDS_OF_PARTS for name, each in costs.items()}


def _cpu(call: Callable[[], None]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started
