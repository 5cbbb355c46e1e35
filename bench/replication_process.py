"""Processes of the replication benchmark.

    python -m bench.replication_process replicate DATABASE_URL DYNAMODB_URL
    python -m bench.replication_process write DYNAMODB_URL RECORDS_PER_S

``replicate`` drains the buffer and prints its seconds and its peak memory; ``write`` puts records
at a steady rate until its input ends.
"""

import json
import sys
import threading
import time

import psutil

from bench.backlog import connect, document, put, replicator_on
from chalicelib.buffered_items import DELETE_BATCH
from chalicelib.postgres.connection import Database

_POLL_S = 0.02


def replicate(database_url: str, dynamodb_url: str) -> None:
    """Drain the buffer; print seconds, records and peak memory in MiB as JSON."""
    # The kernel's peak (ru_maxrss) would be inherited from the parent process.
    memory, peak, ended = psutil.Process(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(_POLL_S):
            peak = max(peak, memory.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    database = Database(database_url, pool=1, connect_timeout_s=5, statement_timeout_s=900)
    run = replicator_on(database, dynamodb_url).run(lambda: 3600.0)
    ended.set()
    watcher.join()
    print(json.dumps({"seconds": run.seconds, "read": run.read, "mb": peak / 2**20}))


def write(dynamodb_url: str, records_per_s: str) -> None:
    """Put records at a steady rate until standard input ends."""
    client = connect(dynamodb_url)
    ended = threading.Event()
    threading.Thread(target=_set_at_end_of_input, args=(ended,), daemon=True).start()
    started, sent = time.monotonic(), 0
    while not ended.wait(_POLL_S):
        due = int((time.monotonic() - started) * float(records_per_s)) - sent
        for _ in range(due // DELETE_BATCH):
            put(client, [document(created_now=True) for _ in range(DELETE_BATCH)])
            sent += DELETE_BATCH


def _set_at_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    {"replicate": replicate, "write": write}[sys.argv[1]](*sys.argv[2:])
