"""How fast integration is, beside what the legacy can take: real HTTP, threads and Postgres.

Legacies of so many workers at 100 ms a call: what is delivered from a cold start and once warm,
beside workers / 100 ms, and beside what the limit alone gives up, in virtual time.
"""

import json
import os
import random
import time
from collections import Counter
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
from bench.legacies.client import Clock, drive
from bench.legacies.models import Workers, lognormal
from bench.punches import punch
from chalicelib.integrator.legacy_client import Legacy
from chalicelib.integrator.limiter import POLICIES
from chalicelib.integrator.retry_policy import Terms
from chalicelib.integrator.run import Run
from chalicelib.integrator.run_stats import Integration
from chalicelib.point_record import to_json
from chalicelib.postgres.claims import Claims
from chalicelib.postgres.point_records import Document, PointRecordStore
from chalicelib.settings import Settings
from local.services import start_legacy

_WORKERS = (5, 20, 100)
_LATENCY_MS = 100
_COLD = 2_000
_WARM_S = 20
_PAGE = 1_000
_DRAWS = 9  # of the latencies that the limit alone meets

settings = Settings()
console = Console()
POLICY = os.environ.get("LIMIT_POLICY", settings.limit_policy)


@dataclass(slots=True)
class _Timed:
    """The claims of a run, with the time and the CPU of each of their methods."""

    claims: Claims
    seconds: Counter[str] = field(default_factory=Counter)
    cpu_s: Counter[str] = field(default_factory=Counter)

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
    with engines() as found:
        child, url = start_legacy(Path(found.home), keep=False)
        try:
            _beside_capacity(found, url)
        finally:
            child.stop()


def _beside_capacity(found: Engines, url: str) -> None:
    table = Table(
        "legacy",
        "from cold",
        "of capacity",
        "the limit alone",
        "once warm",
        "of capacity",
        "failed",
        "limit",
    )
    for workers in track(_WORKERS, "beside capacity", console=console):
        capacity = workers * 1000 / _LATENCY_MS
        slow = {"workers": workers, "queue": workers, "latency_ms": _LATENCY_MS}
        put_settings(url, distribution="constant", **slow)
        empty(found)
        fill(found, _COLD)
        cold, _ = integrate(found, url)
        fill(found, int(capacity * _WARM_S))
        warm, _ = integrate(found, url)
        rates = [run.sent_per_s for run in (_Rates(cold), _Rates(warm))]
        failed = sum(cold.outcomes.values()) + sum(warm.outcomes.values())
        failed -= sum(run.outcomes["DELIVERED"] for run in (cold, warm))
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
    """Return the share of capacity from a cold start where nothing but the limit takes time."""
    ideal_s = _COLD * _LATENCY_MS / 1000 / workers
    took_s = []
    for seed in range(_DRAWS):
        clock = Clock()
        limiter = POLICIES[POLICY](clock, most=settings.limit_max)
        legacy = Workers(workers, _LATENCY_MS / 1000, workers, seed, lognormal(0.01))
        ends = drive(legacy, limiter, clock, 20 * ideal_s).ok_at
        took_s.append(sorted(ends)[_COLD - 1])
    return ideal_s / median(took_s)


@dataclass(frozen=True, slots=True)
class _Rates:
    run: Integration

    @property
    def sent_per_s(self) -> float:
        return self.run.outcomes["DELIVERED"] / self.run.seconds


def integrate(
    found: Engines,
    url: str,
    limiter: Callable[[Callable[[], float]], Any] | None = None,
    claims: Any = None,
) -> tuple[Integration, _Timed]:
    legacy = Legacy(
        f"{url}/point-records",
        settings.legacy_connect_timeout_s,
        settings.legacy_read_timeout_s,
        settings.legacy_call_timeout_s,
    )
    timed = _Timed(claims or claims_of(found))
    run = Run(
        timed,  # type: ignore[arg-type]
        legacy,
        limiter or partial(POLICIES[POLICY], most=settings.limit_max),
        POLICY,
        Terms.of(settings),
        chance=random.Random(1),
    )
    done = run.run(lambda: 900.0)
    assert done is not None
    return done, timed


def claims_of(found: Engines) -> Claims:
    return Claims(
        found.database,
        run_lease_s=settings.run_lease_s,
        record_lease_s=settings.record_lease_s,
    )


def put_settings(url: str, **values: object) -> None:
    requests.put(f"{url}/settings", json=values, timeout=10).raise_for_status()


def empty(found: Engines) -> None:
    """Begin from nothing: no record, and nothing learned."""
    with found.database.transaction() as connection:
        connection.run("TRUNCATE point_record, integrator_state CASCADE")


def fill(found: Engines, count: int) -> None:
    replica = PointRecordStore(found.database)
    for first in range(0, count, _PAGE):
        records = [punch() for _ in range(min(_PAGE, count - first))]
        replica.add([Document(str(each.id), json.dumps(to_json(each))) for each in records])
