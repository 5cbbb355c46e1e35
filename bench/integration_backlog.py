"""Measure integration with a large backlog.

- Time a record to claim and settle 10,000 records while 10,000, 100,000 and 1,000,000 wait.
- 50,000 records against a legacy of 100 workers at 100 ms, beside that legacy's capacity.
"""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.engines import Engines, engines
from bench.integration import empty, fill, integrate, put_settings
from bench.punches import random_id
from chalicelib.integrator.outcome import Outcome
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claims
from chalicelib.postgres.settlements import Sample, Settlement
from local.services import start_legacy

_WAITING = (10_000, 100_000, 1_000_000)
_SETTLED = 10_000
_CLAIM, _FLUSH = 1_000, 500
_BURST, _WORKERS, _LATENCY_MS = 50_000, 100, 100

_MANY = f"""
INSERT INTO point_record (
    id, employee_id, employer_id, included_at, utc_offset_minutes, created_at, next_attempt_at
)
SELECT {random_id("now() - n * interval '1 s'")}, 1 + n % 100000, 1 + n % 50,
    now() - n * interval '1 s', 0, now(), now() - n * interval '1 ms'
FROM generate_series(1, CAST(:count AS integer)) AS n
"""

console = Console()


def main() -> None:
    """Measure and print."""
    with engines() as stores:
        _compare_queue_lengths(stores)
        child, url = start_legacy(Path(stores.home), keep=False)
        try:
            _burst(stores, url)
        finally:
            child.stop()


def _compare_queue_lengths(stores: Engines) -> None:
    table = Table("waiting", "claim", "settle", "a record, beside the shortest queue")
    first = 0.0
    for waiting in _WAITING:
        empty(stores)
        with stores.database.transaction() as connection:
            connection.run(_MANY, count=waiting)
        with stores.database.transaction() as connection:
            connection.run("COMMIT")  # VACUUM cannot run in a transaction
            connection.run("VACUUM ANALYZE point_record")
            connection.run("BEGIN")
        claim_s, settle_s = _claim_and_settle(stores)
        each = claim_s + settle_s
        first = first or each
        table.add_row(
            f"{waiting:,}",
            f"{claim_s * 1e6:.0f} µs",
            f"{settle_s * 1e6:.0f} µs",
            f"{each / first:.2f}",
        )
    console.print(table)


def _claim_and_settle(stores: Engines) -> tuple[float, float]:
    """Return the seconds per record of claiming, and of settling."""
    claims = Claims(stores.database, run_lease_s=900, record_lease_s=900)
    claims.begin()
    sample = Sample(6.0, 1, _FLUSH, 0, 0, 100, 100, "adaptive")
    claim_s = settle_s = 0.0
    for _ in range(_SETTLED // _CLAIM):
        started = time.monotonic()
        records = claims.claim(_CLAIM)
        claim_s += time.monotonic() - started
        assert len(records) == _CLAIM
        for at in range(0, _CLAIM, _FLUSH):
            settlements = [
                Settlement(each.id, Status.INTEGRATED, 1, 1, 0, None, None, 200, 100)
                for each in records[at : at + _FLUSH]
            ]
            started = time.monotonic()
            assert claims.flush(settlements, sample, {})
            settle_s += time.monotonic() - started
    claims.end([])
    return claim_s / _SETTLED, settle_s / _SETTLED


def _burst(stores: Engines, url: str) -> None:
    put_settings(
        url,
        distribution="constant",
        workers=_WORKERS,
        queue=_WORKERS,
        latency_ms=_LATENCY_MS,
    )
    empty(stores)
    with Progress(console=console) as progress:
        task = progress.add_task(f"{_BURST:,} records", total=None)
        fill(stores, _BURST)
        run, _ = integrate(stores, url)
        progress.update(task, total=1, completed=1)
    ideal_s = _BURST * _LATENCY_MS / 1000 / _WORKERS
    table = Table(f"{_BURST:,} records, {_WORKERS} workers at {_LATENCY_MS} ms", "")
    table.add_row("delivered within", f"{run.seconds:.0f} s")
    table.add_row("delivered", f"{run.outcomes[Outcome.DELIVERED]:,}")
    table.add_row("least time of the legacy", f"{ideal_s:.0f} s")
    table.add_row("share of capacity", f"{ideal_s / run.seconds:.0%}")
    console.print(table)
