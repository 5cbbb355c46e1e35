"""Run the integrator in virtual time: records in memory, and a legacy that is a function.

The run itself is real: its loop, its limiter, its queues and its waits. Postgres, the call pool and
the database worker are replaced, and are handed to the run as its collaborators.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any

from chalicelib.integrator.call_thread import FinishedCall
from chalicelib.integrator.limiter import adaptive
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.integrator.retry_policy import RetryPolicy
from chalicelib.integrator.run import Run
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claimed, LastRun
from chalicelib.postgres.settlements import Sample, Settlement
from chalicelib.settings import Settings

RUN_S = 120.0  # the longest run: the timeout of the Lambda function
TICK_S = 60.0  # the period of the schedule
RECORD_LEASE_S = 45.0
CALL_TIMEOUT_S = 15.0

# Returns the result of a call: the instant, the record's id, and the calls in flight with it.
Legacy = Callable[[float, str, int], CallResult]


@dataclass
class Row:
    """A row of ``point_record``."""

    due_at: float | None
    status: Status = Status.AWAITING
    attempts: int = 0
    overloads: int = 0
    settled_at: float = 0.0


@dataclass
class World:
    """Everything except the run. Its time is that of the database and of the legacy."""

    legacy: Legacy
    rows: dict[str, Row]
    now: float = 0.0
    learned: dict[str, Any] | None = None
    learned_at: float = 0.0
    due: list[tuple[float, str]] = field(default_factory=list)  # a heap, with outdated entries
    claimed: set[str] = field(default_factory=set)  # and not released since
    calls: list[tuple[float, str, Outcome]] = field(default_factory=list)
    in_flight: list[tuple[float, int]] = field(default_factory=list)  # at the start of each call

    def __post_init__(self) -> None:
        self.due = [(row.due_at, key) for key, row in self.rows.items() if row.due_at is not None]
        heapify(self.due)

    def set_due(self, key: str, due_at: float | None) -> None:
        self.rows[key].due_at = due_at
        if due_at is not None:
            heappush(self.due, (due_at, key))

    def first_due(self) -> tuple[float, str] | None:
        """Return when the next record is due, and which."""
        while self.due and self.rows[self.due[0][1]].due_at != self.due[0][0]:
            heappop(self.due)
        return self.due[0] if self.due else None

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def remaining_s(self, until: float) -> float:
        return until - self.now

    def counts(self) -> dict[Status, int]:
        counts: dict[Status, int] = {}
        for row in self.rows.values():
            counts[row.status] = counts.get(row.status, 0) + 1
        return counts


class InMemoryClaims:
    """The claims of a run that is the only one."""

    run_lease_s = 30.0
    record_lease_s = RECORD_LEASE_S

    def __init__(self, world: World) -> None:
        self._world = world

    def begin(self) -> LastRun:
        world = self._world
        return LastRun("adaptive", world.learned, world.now - world.learned_at)

    def claim(self, max_records: int) -> list[Claimed]:
        world = self._world
        claimed: list[Claimed] = []
        while len(claimed) < max_records:
            first = world.first_due()
            if first is None or first[0] > world.now:
                break
            key = first[1]
            row = world.rows[key]
            row.status = Status.INTEGRATING
            world.claimed.add(key)
            world.set_due(key, world.now + RECORD_LEASE_S)
            claimed.append(Claimed(key, b"{}", row.attempts, row.overloads))
        return claimed

    def flush(self, settlements: list[Settlement], _: Sample, learned: dict[str, Any]) -> bool:
        for each in settlements:
            row = self._world.rows[each.id]
            row.status, row.attempts, row.overloads = each.status, each.attempts, each.overloads
            self._world.set_due(
                each.id, None if each.wait_s is None else self._world.now + each.wait_s
            )
            row.settled_at = self._world.now
        self._world.learned = json.loads(json.dumps(learned))
        self._world.learned_at = self._world.now
        return True

    def release(self, kept_ids: list[str]) -> None:
        world = self._world
        for key in world.claimed - set(kept_ids):
            world.claimed.remove(key)
            row = world.rows[key]
            if row.status is Status.INTEGRATING:
                row.status = Status.ERROR if row.attempts or row.overloads else Status.AWAITING
                world.set_due(key, world.now)

    def end(self, in_flight: list[str]) -> None:
        self.release(in_flight)

    def next_due_s(self) -> float:
        first = self._world.first_due()
        return first[0] - self._world.now if first else float("inf")


class VirtualCallPool:
    """Ends calls in the order of their ends, and advances the time until they do."""

    call_timeout_s = CALL_TIMEOUT_S

    def __init__(self, world: World) -> None:
        self._world = world
        self._ends: list[tuple[float, int, FinishedCall]] = []
        self._is_woken = False
        self.in_flight: dict[str, Claimed] = {}

    def send(self, record: Claimed, now: float) -> None:
        assert record.id not in self.in_flight
        world = self._world
        self.in_flight[record.id] = record
        in_flight = len(self.in_flight)
        result = world.legacy(now, record.id, in_flight)
        world.calls.append((now, record.id, result.outcome))
        world.in_flight.append((now, in_flight))
        call = FinishedCall(record, result, now, in_flight)
        heappush(self._ends, (now + result.latency_s, len(world.calls), call))

    def collect(self, timeout_s: float) -> list[FinishedCall]:
        until = self._world.now + (0.0 if self._is_woken else max(0.0, timeout_s))
        self._is_woken = False
        if not self._ends or self._ends[0][0] > until:
            self._world.now = until
            return []
        self._world.now = max(self._world.now, self._ends[0][0])
        calls = []
        while self._ends and self._ends[0][0] <= self._world.now:
            calls.append(heappop(self._ends)[2])
        for call in calls:
            del self.in_flight[call.record.id]
        return calls

    def wake(self) -> None:
        self._is_woken = True

    def close(self) -> None:
        pass


class ImmediateDatabaseWorker:
    """A database worker whose tasks take no time."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._results: list[Callable[[], None]] = []

    @property
    def is_busy(self) -> bool:
        return bool(self._results)

    def submit(self, task: Callable[[], Any], on_result: Callable[[Any], None]) -> None:
        result = task()
        self._results.append(lambda: on_result(result))
        self._wake()

    def collect(self) -> None:
        while self._results:
            self._results.pop()()

    def wait(self, _: float) -> None:
        self.collect()


def integrate_until(world: World, until: float, run_s: float = RUN_S) -> None:
    """Run the integrator on every tick of the schedule, until an instant or until nothing waits.

    Args:
        world: what is integrated, and to where.
        until: the instant.
        run_s: the longest run.
    """
    settings = Settings()
    while world.now < until and world.first_due():
        call_pool = VirtualCallPool(world)
        run = Run(
            InMemoryClaims(world),  # type: ignore[arg-type]
            call_pool,  # type: ignore[arg-type]
            ImmediateDatabaseWorker(call_pool.wake),  # type: ignore[arg-type]
            adaptive,
            RetryPolicy.from_settings(settings),
            limit_policy="adaptive",
            settle_interval_s=settings.settle_interval_s,
            settle_batch=settings.settle_batch,
            rng=random.Random(7),
            clock=world.clock,
            sleep=world.sleep,
        )
        run.run(partial(world.remaining_s, world.now + run_s))
        world.now = (world.now // TICK_S + 1) * TICK_S
