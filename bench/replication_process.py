"""What the bench of replication runs in processes of their own.

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
from chalicelib.buffer import DELETE_BATCH
from chalicelib.postgres.connection import Database

_LOOK_S = 0.02


def replicate(database_url: str, dynamodb_url: str) -> None:
    # The peak that the operating system keeps would be that of the process that started this one.
    memory, peak, ended = psutil.Process(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(_LOOK_S):
            peak = max(peak, memory.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    database = Database(database_url, pool=1, connect_timeout_s=5, statement_timeout_s=900)
    run = replicator_on(database, dynamodb_url).run(lambda: 3600.0)
    ended.set()
    watcher.join()
    print(json.dumps({"seconds": run.seconds, "read": run.read, "mb": peak / 2**20}))


def write(dynamodb_url: str, records_per_s: str) -> None:
    client = connect(dynamodb_url)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    started, sent = time.monotonic(), 0
    while not ended.wait(_LOOK_S):
        due = int((time.monotonic() - started) * float(records_per_s)) - sent
        for _ in range(due // DELETE_BATCH):
            put(client, [document(created_now=True) for _ in range(DELETE_BATCH)])
            sent += DELETE_BATCH


if __name__ == "__main__":
    {"replicate": replicate, "write": write}[sys.argv[1]](*sys.argv[2:])
