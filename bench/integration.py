"""Measure integration beside the capacity of the legacy: real HTTP, threads and Postgres.

For legacies of several sizes at 100 ms a call: records delivered from a cold start and when warm,
beside workers / 100 ms, and beside the limiter alone in virtual time.
"""

import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import requests
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engines import Engines, engines
from bench.legacies.client import Clock, simulate
from bench.legacies.models import WorkerPool, lognormal
from bench.punches import punch
from chalicelib.integrator.call_pool import CallPool
from chalicelib.integrator.database_worker import DatabaseWorker
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.limiter import POLICIES
from chalicelib.integrator.outcome import Outcome
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run import Run
from chalicelib.integrator.run_stats import RunStats
from chalicelib.point_record import to_json
from chalicelib.postgres.claims import Claims
from chalicelib.postgres.documents import Document
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.settings import Settings
from local.services import start_legacy

_WORKERS = (5, 20, 100)
_LATENCY_MS = 100
_COLD = 2_000
_WARM_S = 20
_PAGE = 1_000
_DRAWS = 9  # seeds of the latencies in virtual time

settings = Settings()
console = Console()
POLICY = os.environ.get("LIMIT_POLICY", settings.limit_policy)


@dataclass(slots=True)
class _Timed:
    """Measures time and CPU of each method of a run's claims."""

    claims: Claims
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __getattr__(self, name: str) -> object:
        member = getattr(self.claims, name)
        if not callable(member):
            return member

        def timed(*arguments: object) -> object:
            started, cpu = time.monotonic(), time.thread_time()
            try:
                return member(*arguments)
            finally:
                self.seconds[name] += time.monotonic() - started
                self.cpu_s[name] += time.thread_time() - cpu

        return timed


def main() -> None:
    """Measure and print."""
    with engines() as stores:
        child, url = start_legacy(Path(stores.home), keep=False)
        try:
            _compare_with_capacity(stores, url)
        finally:
            child.stop()


def _compare_with_capacity(stores: Engines, url: str) -> None:
    table = Table(
        "legacy",
        "cold",
        "of capacity",
        "limiter alone",
        "warm",
        "of capacity",
        "failed",
        "limit",
    )
    for workers in track(_WORKERS, "integration", console=console):
        capacity = workers * 1000 / _LATENCY_MS
        slow = {"workers": workers, "queue": workers, "latency_ms": _LATENCY_MS}
        put_settings(url, distribution="constant", **slow)
        empty(stores)
        fill(stores, _COLD)
        cold, _ = integrate(stores, url)
        fill(stores, int(capacity * _WARM_S))
        warm, _ = integrate(stores, url)
        rates = [run.sent_per_s for run in (_Rates(cold), _Rates(warm))]
        ended = sum(cold.outcomes.values()) + sum(warm.outcomes.values())
        failed = ended - sum(run.outcomes[Outcome.DELIVERED] for run in (cold, warm))
        table.add_row(
            f"{workers} × {_LATENCY_MS} ms",  # noqa: RUF001 - as people write it
            f"{rates[0]:,.0f}/s",
            f"{rates[0] / capacity:.0%}",
            f"{_limit_alone(workers):.0%}",
            f"{rates[1]:,.0f}/s",
            f"{rates[1] / capacity:.0%}",
            str(failed),
            f"{warm.limit_last:.1f}",
        )
    console.print(table)


def _limit_alone(workers: int) -> float:
    """Return the share of capacity from a cold start in virtual time: the limiter alone."""
    ideal_s = _COLD * _LATENCY_MS / 1000 / workers
    finished_s = []
    for seed in range(_DRAWS):
        clock = Clock()
        limiter = POLICIES[POLICY](clock, max_limit=settings.limit_max)
        legacy = WorkerPool(workers, _LATENCY_MS / 1000, workers, seed, lognormal(0.01))
        ends = simulate(legacy, limiter, clock, 20 * ideal_s).ok_at
        finished_s.append(sorted(ends)[_COLD - 1])
    return float(ideal_s / median(finished_s))


@dataclass(frozen=True, slots=True)
class _Rates:
    run: RunStats

    @property
    def sent_per_s(self) -> float:
        return self.run.outcomes[Outcome.DELIVERED] / self.run.seconds


def integrate(
    stores: Engines,
    url: str,
    limiter: Callable[[Callable[[], float]], Any] | None = None,
    claims: Any = None,
) -> tuple[RunStats, _Timed]:
    """Run the integrator until nothing is due; return its statistics and its claims' times."""
    call_pool = CallPool(
        LegacyEndpoint(
            f"{url}/point-records",
            settings.legacy_connect_timeout_s,
            settings.legacy_read_timeout_s,
            settings.legacy_call_timeout_s,
        )
    )
    timed = _Timed(claims or claims_of(stores))
    run = Run(
        timed,  # type: ignore[arg-type]
        call_pool,
        DatabaseWorker(call_pool.wake),
        limiter or partial(POLICIES[POLICY], max_limit=settings.limit_max),
        RetryPolicy.from_settings(settings),
        limit_policy=POLICY,
        settle_interval_s=settings.settle_interval_s,
        settle_batch=settings.settle_batch,
        rng=random.Random(1),
    )
    stats = run.run(lambda: 900.0)
    assert stats is not None
    return stats, timed


def claims_of(stores: Engines) -> Claims:
    return Claims(
        stores.database,
        run_lease_s=settings.run_lease_s,
        record_lease_s=settings.record_lease_s,
    )


def put_settings(url: str, **values: object) -> None:
    requests.put(f"{url}/settings", json=values, timeout=10).raise_for_status()


def empty(stores: Engines) -> None:
    """Delete all records and the limiter's state."""
    with stores.database.transaction() as connection:
        connection.run("TRUNCATE point_record, integrator_state CASCADE")


def fill(stores: Engines, count: int) -> None:
    store = PointRecordStore(stores.database)
    for first in range(0, count, _PAGE):
        records = [punch() for _ in range(min(_PAGE, count - first))]
        store.add([Document(str(each.id), json.dumps(to_json(each))) for each in records])
