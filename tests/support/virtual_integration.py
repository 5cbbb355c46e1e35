"""A run of the integrator in virtual time: a replica in memory, and a legacy that is a function.

What is not simulated is the run itself: the loop, the limiter, the waits, the leases it asks for.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import pytest

from chalicelib.integrator import run as run_module
from chalicelib.integrator.call_pool import Sent
from chalicelib.integrator.legacy_client import Legacy
from chalicelib.integrator.limiter import adaptive
from chalicelib.integrator.outcome import Outcome, Reply
from chalicelib.integrator.retry_policy import Terms
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claimed, Sample, Settlement
from chalicelib.settings import Settings

RUN_S = 120.0  # how long a run may last, as a Lambda's timeout says
TICK_S = 60.0
RECORD_LEASE_S = 45.0
CALL_TIMEOUT_S = 15.0
TERMS = Terms.of(Settings())

# What a call at an instant comes to, with so many open, itself included.
Answers = Callable[[float, str, int], Reply]


@dataclass
class Row:
    """A record of the replica."""

    due_at: float | None
    status: Status = Status.AWAITING
    attempts: int = 0
    overloads: int = 0
    settled_at: float = 0.0


@dataclass
class World:
    """Everything but the run. Its time is the database's and the legacy's."""

    answers: Answers
    rows: dict[str, Row]
    now: float = 0.0
    learned: dict[str, Any] | None = None
    calls: list[tuple[float, str, Outcome]] = field(default_factory=list)
    open_calls: int = 0
    most_open: list[tuple[float, int]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def counts(self) -> dict[Status, int]:
        found: dict[Status, int] = {}
        for row in self.rows.values():
            found[row.status] = found.get(row.status, 0) + 1
        return found


class InMemory:
    """The claims of a run, of which there is one at a time."""

    run_lease_s = 30.0
    record_lease_s = RECORD_LEASE_S

    def __init__(self, world: World) -> None:
        self._world = world

    def begin(self) -> tuple[str, dict[str, Any] | None]:
        return "adaptive", self._world.learned

    def claim(self, most: int) -> list[Claimed]:
        world = self._world
        due = [
            (row.due_at, key)
            for key, row in world.rows.items()
            if row.due_at is not None and row.due_at <= world.now
        ]
        found = []
        for _, key in sorted(due)[:most]:
            row = world.rows[key]
            row.status, row.due_at = Status.INTEGRATING, world.now + RECORD_LEASE_S
            found.append(Claimed(key, b"{}", row.attempts, row.overloads))
        return found

    def flush(self, settlements: list[Settlement], _: Sample, learned: dict[str, Any]) -> bool:
        for each in settlements:
            row = self._world.rows[each.id]
            row.status, row.attempts, row.overloads = each.status, each.attempts, each.overloads
            row.due_at = None if each.wait_s is None else self._world.now + each.wait_s
            row.settled_at = self._world.now
        self._world.learned = learned
        return True

    def release(self, held: list[str]) -> None:
        for key, row in self._world.rows.items():
            if row.status is Status.INTEGRATING and key not in held:
                row.status = Status.ERROR if row.attempts or row.overloads else Status.AWAITING
                row.due_at = self._world.now

    def end(self, in_flight: list[str]) -> None:
        self.release(in_flight)

    def next_due_s(self) -> float:
        due = [row.due_at for row in self._world.rows.values() if row.due_at is not None]
        return min(due, default=float("inf")) - self._world.now


class VirtualSenders:
    """Ends calls in the order of time, and has time pass until they end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ends: list[tuple[float, int, Sent]] = []
        self._is_woken = False
        self.in_flight: dict[str, Claimed] = {}

    def prepare(self, calls: int) -> None:
        pass

    def send(self, record: Claimed, now: float) -> None:
        assert record.id not in self.in_flight
        world = self._world
        self.in_flight[record.id] = record
        reply = world.answers(now, record.id, len(self.in_flight))
        world.calls.append((now, record.id, reply.outcome))
        world.most_open.append((now, len(self.in_flight)))
        sent = Sent(record, reply, now, len(self.in_flight))
        heappush(self._ends, (now + reply.latency_s, len(world.calls), sent))

    def ended(self, timeout_s: float) -> list[Sent]:
        until = self._world.now + (0.0 if self._is_woken else max(0.0, timeout_s))
        self._is_woken = False
        if not self._ends or self._ends[0][0] > until:
            self._world.now = until
            return []
        self._world.now = max(self._world.now, self._ends[0][0])
        found = []
        while self._ends and self._ends[0][0] <= self._world.now:
            found.append(heappop(self._ends)[2])
        for sent in found:
            del self.in_flight[sent.record.id]
        return found

    def wake(self) -> None:
        self._is_woken = True

    def close(self) -> None:
        pass


class AtOnce:
    """A desk whose work takes no time."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._results: list[Callable[[], None]] = []

    @property
    def is_busy(self) -> bool:
        return bool(self._results)

    def begin(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        result = work()
        self._results.append(lambda: then(result))
        self._wake()

    def take(self) -> None:
        while self._results:
            self._results.pop()()

    def finish(self, _: float) -> None:
        self.take()


def integrate_until(world: World, until: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the schedule tick after tick until an instant, or until nothing waits any more."""
    legacy = Legacy("http://legacy.example/", 3.0, 10.0, CALL_TIMEOUT_S)
    monkeypatch.setattr(run_module, "Senders", lambda _: VirtualSenders(world))
    monkeypatch.setattr(run_module, "Desk", AtOnce)
    while world.now < until and any(row.due_at is not None for row in world.rows.values()):
        ends_at = world.now + RUN_S
        run = run_module.Run(
            InMemory(world),  # type: ignore[arg-type]
            legacy,
            adaptive,
            "adaptive",
            TERMS,
            chance=random.Random(7),
            clock=world.clock,
            sleep=world.sleep,
        )
        run.run(lambda ends_at=ends_at: ends_at - world.now)
        world.now = (world.now // TICK_S + 1) * TICK_S
