"""Our own bound of integration: what a record costs us against a legacy that answers at once.

Under limits that do not learn, and under the one that does: how long claiming and settling held
sending up, by how much Postgres makes the run longer, beside one whose claims cost nothing, and our
CPU with its parts. Postgres' own CPU is not counted, but it works on the same cores.
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
from chalicelib.point_record import to_json
from chalicelib.postgres.claims import Claimed, Claims

_RECORDS = 10_000
_LIMITS = (8, 32, 100)
_ROUNDS = 3

MakeLimiter = Callable[[Callable[[], float]], Any]

console = Console()


class _NoDatabase:
    """Claims that cost nothing: the records are there, and are forgotten once settled."""

    run_lease_s = record_lease_s = 900.0

    def __init__(self, count: int) -> None:
        records = [punch() for _ in range(count)]
        self._records = [
            Claimed(str(each.id), json.dumps(to_json(each)).encode(), 0, 0) for each in records
        ]

    def begin(self) -> tuple[None, None]:
        return None, None

    def claim(self, most: int) -> list[Claimed]:
        found, self._records = self._records[:most], self._records[most:]
        return found

    def flush(self, *_: object) -> bool:
        return True

    def next_due_s(self) -> float:
        return math.inf

    def release(self, _: object) -> None:
        pass

    end = release


class _Fixed:
    """A limit that does not learn: what differs between two runs is then not its doing."""

    recent_failures = 0
    not_before = 0.0

    def __init__(self, limit: int, _: object) -> None:
        self.limit = float(limit)

    def on_start(self) -> None:
        pass

    def on_result(self, *_: object) -> None:
        pass

    def snapshot(self) -> dict[str, float]:
        return {}


class _Watch:
    """Stands before the limiter and the claims of a run, and notes when they are told of what."""

    def __init__(self, make: MakeLimiter) -> None:
        self._make = make
        self._starts_and_ends: list[tuple[float, bool, int]] = []
        self._claims: list[tuple[float, int]] = []
        self._begun_at = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._limiter, name)

    def limiter(self, clock: Callable[[], float]) -> "_Watch":
        """Make the limiter, and stand before it."""
        self._limiter = self._make(clock)
        return self

    def claims(self, claims: Claims) -> "_WatchedClaims":
        """Stand before the claims."""
        return _WatchedClaims(claims, self._claims)

    def on_start(self) -> None:
        self._note(True)
        self._limiter.on_start()

    def on_result(self, *arguments: Any) -> None:
        self._limiter.on_result(*arguments)
        self._note(False)

    def _note(self, is_start: bool) -> None:
        self._starts_and_ends.append((time.monotonic(), is_start, int(self._limiter.limit)))

    def held_up_s(self, ended_at: float) -> float:
        """Return how long the limit allowed a call, and no record was there since none was claimed.

        What is written after the last call has ended is part of it.
        """
        at_hand = itertools.chain.from_iterable([at] * count for at, count in self._claims)
        held_s, in_flight, is_free, free_since = 0.0, 0, True, self._begun_at
        for now, is_start, limit in self._starts_and_ends:
            if is_start:
                # Counted to the start itself: the run's own part of passing it on is in it.
                held_s += now - free_since if next(at_hand) > free_since else 0.0
            in_flight += 1 if is_start else -1
            if is_start or not is_free:
                free_since = now
            is_free = in_flight < limit
        return held_s + ended_at - self._starts_and_ends[-1][0]


class _WatchedClaims:
    def __init__(self, claims: Claims, noted: list[tuple[float, int]]) -> None:
        self._inner = claims
        self._noted = noted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def claim(self, most: int) -> list[Claimed]:
        found = self._inner.claim(most)
        self._noted.append((time.monotonic(), len(found)))
        return found


@dataclass(frozen=True, slots=True)
class _Measured:
    seconds: float
    held_up_s: float
    desk_s: float
    limit: float
    loop_cpu_s: float
    claim_cpu_s: float
    settle_cpu_s: float


def main() -> None:
    """Measure and print."""
    makers: dict[str, MakeLimiter] = {
        **{str(limit): partial(_Fixed, limit) for limit in _LIMITS},
        POLICY: partial(POLICIES[POLICY], most=settings.limit_max),
    }
    runs: dict[str, list[_Measured]] = {name: [] for name in makers}
    free: dict[str, list[float]] = {name: [] for name in makers}
    with engines() as found, running("bench.instant_legacy") as url:
        for name in track(list(makers) * _ROUNDS, "instant legacy", console=console):
            free[name].append(_free(found, url, makers[name]))
            runs[name].append(_measure(found, url, makers[name]))
    columns = [_rows(runs[name], median(free[name])) for name in makers]
    table = Table("calls at once", *makers)
    for title in columns[0]:
        table.add_row(title, *(column[title] for column in columns))
    console.print(table)


def _measure(found: Engines, url: str, make: MakeLimiter) -> _Measured:
    empty(found)
    fill(found, _RECORDS)
    gc.collect()
    watch = _Watch(make)
    cpu = time.process_time()
    run, claims = integrate(
        found, url, limiter=watch.limiter, claims=watch.claims(claims_of(found))
    )
    ended_at = time.monotonic()
    cpu = time.process_time() - cpu
    assert run.outcomes["DELIVERED"] == _RECORDS, run
    claim, settle = claims.cpu_s["claim"], claims.cpu_s["flush"]
    return _Measured(
        run.seconds,
        watch.held_up_s(ended_at),
        sum(claims.seconds.values()),
        run.limit_last,
        cpu - claim - settle,
        claim,
        settle,
    )


def _free(found: Engines, url: str, make: MakeLimiter) -> float:
    """Return the seconds of a run whose claims cost nothing."""
    claims = _NoDatabase(_RECORDS)
    gc.collect()
    return integrate(found, url, limiter=make, claims=claims)[0].seconds


def _rows(runs: list[_Measured], free_s: float) -> dict[str, str]:
    def middle(of: Callable[[_Measured], float]) -> float:
        return median(map(of, runs))

    def cpu(of: Callable[[_Measured], float]) -> str:
        return f"{middle(of) / _RECORDS * 1000:.3f} ms"

    seconds = middle(lambda run: run.seconds)
    return {
        "the limit at the end": f"{middle(lambda run: run.limit):.0f}",
        "records/s": f"{_RECORDS / seconds:,.0f}",
        "records/s, claims for nothing": f"{_RECORDS / free_s:,.0f}",
        "the run is longer by": f"{seconds / free_s - 1:.1%}",
        "of its time, sending held up": f"{middle(lambda run: run.held_up_s / run.seconds):.1%}",
        "  the desk busy": f"{middle(lambda run: run.desk_s / run.seconds):.0%}",
        "CPU for a record": cpu(lambda run: run.loop_cpu_s + run.claim_cpu_s + run.settle_cpu_s),
        "  HTTP and the loop": cpu(lambda run: run.loop_cpu_s),
        "  claiming": cpu(lambda run: run.claim_cpu_s),
        "  settling": cpu(lambda run: run.settle_cpu_s),
    }
