"""How fast integration is, beside what the legacy can take: real HTTP, threads and Postgres.

- legacies of so many workers at 100 ms a call: what is delivered from a cold start and once warm,
  beside workers / 100 ms;
- a legacy that answers at once: our own CPU for a record, and the part of the time that claiming
  and settling take.
"""

import json
import os
import random
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from bench.engines import Engines, engines
from bench.punches import punch
from chalicelib.integrator.integrator import Run
from chalicelib.integrator.legacy import Legacy
from chalicelib.integrator.limiter import POLICIES
from chalicelib.integrator.retry import Pace
from chalicelib.integrator.summary import Integration
from chalicelib.point_record import to_json
from chalicelib.postgres.claims import Claims
from chalicelib.postgres.replica import Document, Replica
from chalicelib.settings import Settings
from local.services import start_legacy

_WORKERS = (5, 20, 100)
_LATENCY_MS = 100
_COLD = 2_000
_WARM_S = 20
_INSTANT = 10_000
_PAGE = 1_000

settings = Settings()
console = Console()


@dataclass(slots=True)
class _Timed:
    """The claims of a run, and how long it waits for them."""

    claims: Claims
    seconds: float = 0.0

    def __getattr__(self, name: str) -> object:
        member = getattr(self.claims, name)
        if not callable(member):
            return member

        def timed(*arguments: object) -> object:
            started = time.monotonic()
            try:
                return member(*arguments)
            finally:
                self.seconds += time.monotonic() - started

        return timed


def main() -> None:
    """Measure and print."""
    with engines() as found:
        child, url = start_legacy(Path(found.home), keep=False)
        try:
            _beside_capacity(found, url)
            _own_bound(found, url)
        finally:
            child.stop()


def _beside_capacity(found: Engines, url: str) -> None:
    table = Table(
        "legacy", "from cold", "of capacity", "once warm", "of capacity", "failed", "limit"
    )
    for workers in _WORKERS:
        capacity = workers * 1000 / _LATENCY_MS
        slow = {"workers": workers, "queue": workers, "latency_ms": _LATENCY_MS}
        _set(url, distribution="constant", **slow)
        _empty(found)
        _fill(found, _COLD)
        cold, _ = _integrate(found, url)
        _fill(found, int(capacity * _WARM_S))
        warm, _ = _integrate(found, url)
        rates = [run.sent_per_s for run in (_Rates(cold), _Rates(warm))]
        failed = sum(cold.outcomes.values()) + sum(warm.outcomes.values())
        failed -= sum(run.outcomes["DELIVERED"] for run in (cold, warm))
        table.add_row(
            f"{workers} × {_LATENCY_MS} ms",  # noqa: RUF001 - as people write it
            f"{rates[0]:,.0f}/s",
            f"{rates[0] / capacity:.0%}",
            f"{rates[1]:,.0f}/s",
            f"{rates[1] / capacity:.0%}",
            str(failed),
            f"{warm.limit_last:.1f}",
        )
    console.print(table)


def _own_bound(found: Engines, url: str) -> None:
    _set(url, workers=1_000, queue=1_000, latency_ms=0, distribution="constant")
    _empty(found)
    _fill(found, _INSTANT)
    cpu = time.process_time()
    run, claims = _integrate(found, url)
    cpu = time.process_time() - cpu
    table = Table("an instant legacy", "")
    table.add_row("records/s", f"{_INSTANT / run.seconds:,.0f}")
    table.add_row("CPU for a record", f"{cpu / _INSTANT * 1000:.2f} ms")
    table.add_row("claiming and settling, of the time", f"{claims.seconds / run.seconds:.1%}")
    console.print(table)


@dataclass(frozen=True, slots=True)
class _Rates:
    run: Integration

    @property
    def sent_per_s(self) -> float:
        return self.run.outcomes["DELIVERED"] / self.run.seconds


def _integrate(found: Engines, url: str) -> tuple[Integration, _Timed]:
    legacy = Legacy(
        f"{url}/point-records",
        settings.legacy_connect_timeout_s,
        settings.legacy_read_timeout_s,
        settings.legacy_call_timeout_s,
    )
    policy = os.environ.get("LIMIT_POLICY", settings.limit_policy)
    claims = _Timed(
        Claims(
            found.database,
            run_lease_s=settings.run_lease_s,
            record_lease_s=settings.record_lease_s,
        )
    )
    run = Run(
        claims,  # type: ignore[arg-type]
        legacy,
        partial(POLICIES[policy], most=settings.limit_max),
        policy,
        Pace(
            settle_interval_s=settings.settle_interval_s,
            settle_batch=settings.settle_batch,
            max_attempts=settings.max_attempts,
            retry_base_s=settings.retry_base_s,
            retry_max_s=settings.retry_max_s,
            overload_retry_max_s=settings.overload_retry_max_s,
        ),
        chance=random.Random(1),
    )
    done = run.run(lambda: 900.0)
    assert done is not None
    return done, claims


def _set(url: str, **values: object) -> None:
    requests.put(f"{url}/settings", json=values, timeout=10).raise_for_status()


def _empty(found: Engines) -> None:
    """Begin from nothing: no record, and nothing learned."""
    with found.database.transaction() as connection:
        connection.run("TRUNCATE point_record, integrator_state CASCADE")


def _fill(found: Engines, count: int) -> None:
    replica = Replica(found.database)
    for first in range(0, count, _PAGE):
        records = [punch() for _ in range(min(_PAGE, count - first))]
        replica.add([Document(str(each.id), json.dumps(to_json(each))) for each in records])
