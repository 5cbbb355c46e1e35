"""How integration fares with very much to do: claims and settlements beside ever longer queues, and
50,000 records to the end.

- ten thousand records claimed and settled while 10,000, 100,000 and 1,000,000 wait: time a record;
- 50,000 records against a legacy of 100 workers at 100 ms, beside what that legacy can take.
"""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.engines import Engines, engines
from bench.integration import empty, fill, integrate, put_settings
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claims, Sample, Settlement
from local.services import start_legacy

_WAITING = (10_000, 100_000, 1_000_000)
_SETTLED = 10_000
_CLAIM, _FLUSH = 1_000, 500
_BURST, _WORKERS, _LATENCY_MS = 50_000, 100, 100

_MANY = """
INSERT INTO point_record (
    id, employee_id, employer_id, included_at, utc_offset_minutes, created_at, next_attempt_at
)
SELECT gen_random_uuid(), 1 + n % 100000, 1 + n % 50, now() - n * interval '1 s', 0, now(),
    now() - n * interval '1 ms'
FROM generate_series(1, CAST(:count AS integer)) AS n
"""

console = Console()


def main() -> None:
    """Measure and print."""
    with engines() as found:
        _beside_queues(found)
        child, url = start_legacy(Path(found.home), keep=False)
        try:
            _burst(found, url)
        finally:
            child.stop()


def _beside_queues(found: Engines) -> None:
    table = Table("waiting", "claim", "settle", "a record, beside the shortest")
    first = 0.0
    for waiting in _WAITING:
        empty(found)
        with found.database.transaction() as connection:
            connection.run(_MANY, count=waiting)
        with found.database.transaction() as connection:
            connection.run("COMMIT")  # VACUUM runs in no transaction
            connection.run("VACUUM ANALYZE point_record")
            connection.run("BEGIN")
        claim_s, settle_s = _claim_and_settle(found)
        each = claim_s + settle_s
        first = first or each
        table.add_row(
            f"{waiting:,}",
            f"{claim_s * 1e6:.0f} µs",
            f"{settle_s * 1e6:.0f} µs",
            f"{each / first:.2f}",
        )
    console.print(table)


def _claim_and_settle(found: Engines) -> tuple[float, float]:
    """Return the seconds a record takes to claim, and to settle."""
    claims = Claims(found.database, run_lease_s=900, record_lease_s=900)
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


def _burst(found: Engines, url: str) -> None:
    put_settings(
        url,
        distribution="constant",
        workers=_WORKERS,
        queue=_WORKERS,
        latency_ms=_LATENCY_MS,
    )
    empty(found)
    with Progress(console=console) as progress:
        task = progress.add_task(f"{_BURST:,} records", total=None)
        fill(found, _BURST)
        run, _ = integrate(found, url)
        progress.update(task, total=1, completed=1)
    ideal_s = _BURST * _LATENCY_MS / 1000 / _WORKERS
    table = Table(f"{_BURST:,} records, {_WORKERS} workers at {_LATENCY_MS} ms", "")
    table.add_row("integrated in", f"{run.seconds:.0f} s")
    table.add_row("delivered", f"{run.outcomes['DELIVERED']:,}")
    table.add_row("what the legacy would need at least", f"{ideal_s:.0f} s")
    table.add_row("of capacity", f"{ideal_s / run.seconds:.0%}")
    console.print(table)
