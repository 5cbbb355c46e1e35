"""Measure the integrator's own cost of a record, against a legacy that answers at once.

With fixed limits and with the stage's policy: how long sending waited for claiming and settling,
how much longer a run takes than one whose claims cost nothing, and CPU by part. Postgres' CPU is
not counted, but it uses the same cores.
"""

import gc
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engines import Engines, engines
from bench.instant_http import running
from bench.integration import POLICY, claims_of, empty, fill, integrate, settings
from bench.punches import punch
from chalicelib.integrator.limiter import POLICIES
from chalicelib.integrator.outcome import Outcome
from chalicelib.point_record import to_json
from chalicelib.postgres.claims import Claimed, Claims, LastRun

_RECORDS = 10_000
_LIMITS = (8, 32, 100)
_ROUNDS = 3

MakeLimiter = Callable[[Callable[[], float]], Any]

console = Console()


class NoDatabase:
    """Claims that cost nothing: records from memory, outcomes dropped."""

    run_lease_s = record_lease_s = 900.0

    def __init__(self, count: int) -> None:
        records = [punch() for _ in range(count)]
        self._records = [
            Claimed(str(each.id), json.dumps(to_json(each)).encode(), 0, 0) for each in records
        ]

    def begin(self) -> LastRun:
        return LastRun(None, None, 0.0)

    def claim(self, most: int) -> list[Claimed]:
        records, self._records = self._records[:most], self._records[most:]
        return records

    def flush(self, *_: object) -> bool:
        return True

    def next_due_s(self) -> float:
        return math.inf

    def release(self, _: object) -> None:
        pass

    end = release


class FixedLimit:
    """A constant limit, so that two runs differ by other causes only."""

    recent_failures = 0
    not_before = 0.0

    def __init__(self, limit: int, _: object) -> None:
        self.limit = float(limit)

    def on_start(self) -> None:
        pass

    def on_result(self, *_: object) -> None:
        pass

    on_refused = on_result

    def snapshot(self) -> dict[str, float]:
        return {}


class _Watch:
    """Wraps the limiter and the claims of a run, and records the time of each event."""

    def __init__(self, make: MakeLimiter) -> None:
        self._make = make
        self._starts_and_ends: list[tuple[float, bool, int]] = []
        self._claims: list[tuple[float, int]] = []
        self._begun_at = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._limiter, name)

    def limiter(self, clock: Callable[[], float]) -> "_Watch":
        """Make the limiter and wrap it."""
        self._limiter = self._make(clock)
        return self

    def claims(self, claims: Claims) -> "_WatchedClaims":
        """Wrap the claims."""
        return _WatchedClaims(claims, self._claims)

    def on_start(self) -> None:
        self._record(True)
        self._limiter.on_start()

    def on_result(self, *arguments: Any) -> None:
        self._limiter.on_result(*arguments)
        self._record(False)

    def on_refused(self, *arguments: Any) -> None:
        self._limiter.on_refused(*arguments)
        self._record(False)

    def _record(self, is_start: bool) -> None:
        self._starts_and_ends.append((time.monotonic(), is_start, int(self._limiter.limit)))

    def waited_s(self, ended_at: float) -> float:
        """Return how long the limit allowed a call but no claimed record was available.

        The time of writes after the last call has ended is included.
        """
        claimed_at = itertools.chain.from_iterable([at] * count for at, count in self._claims)
        total_s, in_flight, is_free, free_since = 0.0, 0, True, self._begun_at
        for now, is_start, limit in self._starts_and_ends:
            if is_start:
                # Counted to the call's start, so the run's own dispatching is included.
                total_s += now - free_since if next(claimed_at) > free_since else 0.0
            in_flight += 1 if is_start else -1
            if is_start or not is_free:
                free_since = now
            is_free = in_flight < limit
        return total_s + ended_at - self._starts_and_ends[-1][0]


class _WatchedClaims:
    def __init__(self, claims: Claims, events: list[tuple[float, int]]) -> None:
        self._inner = claims
        self._noted = events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def claim(self, most: int) -> list[Claimed]:
        records = self._inner.claim(most)
        self._noted.append((time.monotonic(), len(records)))
        return records


@dataclass(frozen=True, slots=True)
class _Measured:
    seconds: float
    waited_s: float
    database_s: float
    limit: float
    loop_cpu_s: float
    claim_cpu_s: float
    settle_cpu_s: float


def main() -> None:
    """Measure and print."""
    makers: dict[str, MakeLimiter] = {
        **{str(limit): partial(FixedLimit, limit) for limit in _LIMITS},
        POLICY: partial(POLICIES[POLICY], max_limit=settings.limit_max),
    }
    runs: dict[str, list[_Measured]] = {name: [] for name in makers}
    free: dict[str, list[float]] = {name: [] for name in makers}
    with engines() as stores, running("bench.instant_legacy") as url:
        for name in track(list(makers) * _ROUNDS, "instant legacy", console=console):
            free[name].append(_free(stores, url, makers[name]))
            runs[name].append(_measure(stores, url, makers[name]))
    columns = [_rows(runs[name], median(free[name])) for name in makers]
    table = Table("calls at once", *makers)
    for title in columns[0]:
        table.add_row(title, *(column[title] for column in columns))
    console.print(table)


def _measure(stores: Engines, url: str, make: MakeLimiter) -> _Measured:
    empty(stores)
    fill(stores, _RECORDS)
    gc.collect()
    watch = _Watch(make)
    cpu = time.process_time()
    run, claims = integrate(
        stores, url, limiter=watch.limiter, claims=watch.claims(claims_of(stores))
    )
    ended_at = time.monotonic()
    cpu = time.process_time() - cpu
    assert run.outcomes[Outcome.DELIVERED] == _RECORDS, run
    claim, settle = claims.cpu_s["claim"], claims.cpu_s["flush"]
    return _Measured(
        run.seconds,
        watch.waited_s(ended_at),
        sum(claims.seconds.values()),
        run.limit_last,
        cpu - claim - settle,
        claim,
        settle,
    )


def _free(stores: Engines, url: str, make: MakeLimiter) -> float:
    """Return the seconds of a run whose claims cost nothing."""
    claims = NoDatabase(_RECORDS)
    gc.collect()
    return integrate(stores, url, limiter=make, claims=claims)[0].seconds


def _rows(runs: list[_Measured], free_s: float) -> dict[str, str]:
    def typical(of: Callable[[_Measured], float]) -> float:
        return median(map(of, runs))

    def cpu(of: Callable[[_Measured], float]) -> str:
        return f"{typical(of) / _RECORDS * 1000:.3f} ms"

    seconds = typical(lambda run: run.seconds)
    return {
        "the limit at the end": f"{typical(lambda run: run.limit):.0f}",
        "records/s": f"{_RECORDS / seconds:,.0f}",
        "records/s, claims at no cost": f"{_RECORDS / free_s:,.0f}",
        "the run is longer by": f"{seconds / free_s - 1:.1%}",
        "share of time sending waited": f"{typical(lambda run: run.waited_s / run.seconds):.1%}",
        "  database worker busy": f"{typical(lambda run: run.database_s / run.seconds):.0%}",
        "CPU per record": cpu(lambda run: run.loop_cpu_s + run.claim_cpu_s + run.settle_cpu_s),
        "  HTTP and dispatching": cpu(lambda run: run.loop_cpu_s),
        "  claiming": cpu(lambda run: run.claim_cpu_s),
        "  settling": cpu(lambda run: run.settle_cpu_s),
    }
