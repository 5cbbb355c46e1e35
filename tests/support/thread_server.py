"""A legacy in virtual time with a thread for each connection, and the calls of a pool to it."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from chalicelib.integrator.connection_pool import ConnectionPool
from chalicelib.integrator.outcome import CallResult, Outcome

LATENCY_S = 0.1
_DELIVERED = CallResult(Outcome.DELIVERED, LATENCY_S, 200)


@dataclass(eq=False)
class ThreadServer:
    """Gives each connection a thread until it closes, in the order in which they were opened.

    ``keep_alive_s`` is how long the server keeps an idle connection; 0: it closes after each call.
    """

    threads: int
    keep_alive_s: float
    now: float = 0.0
    waiting: deque["VirtualConnection"] = field(default_factory=deque)
    serving: set["VirtualConnection"] = field(default_factory=set)
    opened: int = 0
    slow_s: dict[int, float] = field(default_factory=dict)
    """The latency of the first call on the connection that was opened as the n-th, from 1."""

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, instant: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (instant, next(self._numbers), action))

    def advance(self, until: float) -> None:
        """Let the next event happen, but none after ``until``."""
        if self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
        else:
            self.now = until

    def serve(self) -> None:
        while self.waiting and len(self.serving) < self.threads:
            connection = self.waiting.popleft()
            self.serving.add(connection)
            connection.answer()


class VirtualConnection:
    is_quiet = True  # a server that hangs up is known at once

    def __init__(self, server: ThreadServer) -> None:
        self._server = server
        self._calls = 0
        self._latency_s = LATENCY_S
        self.is_connected = self.is_new = self.is_answered = False

    def call(self) -> None:
        """Send a call."""
        self._calls += 1
        self.is_answered, self.is_new = False, not self.is_connected
        if self.is_new:
            self.is_connected = True
            self._server.opened += 1
            self._latency_s = self._server.slow_s.get(self._server.opened, LATENCY_S)
            self._server.waiting.append(self)
            self._server.serve()
        else:
            self._latency_s = LATENCY_S
            self.answer()

    def answer(self) -> None:
        def end() -> None:
            self.is_answered = True
            calls = self._calls
            self._server.at(
                self._server.now + self._server.keep_alive_s,
                lambda: self._hang_up() if self._calls == calls and self.is_answered else None,
            )
            if not self._server.keep_alive_s:
                self._hang_up()

        self._server.at(self._server.now + self._latency_s, end)

    def close(self) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        self.is_connected = False
        if self in self._server.serving:
            self._server.serving.remove(self)
            self._server.serve()


class Calls:
    """Calls of a pool to a server."""

    def __init__(self, server: ThreadServer, pool: ConnectionPool[VirtualConnection]) -> None:
        self._server = server
        self._pool = pool
        self._in_flight: dict[VirtualConnection, float] = {}
        self.ended: list[tuple[float, float]] = []  # when each began and ended

    def make(self, until: float, limit: Callable[[float], int]) -> None:
        """Keep ``limit(now)`` calls in flight."""
        server, pool = self._server, self._pool
        while server.now < until:
            for connection, sent_at in list(self._in_flight.items()):
                if connection.is_answered:
                    del self._in_flight[connection]
                    pool.give_back(connection, server.now, _DELIVERED)
                    self.ended.append((sent_at, server.now))
            while len(self._in_flight) < limit(server.now):
                connection = pool.take(server.now)
                self._in_flight[connection] = server.now
                connection.call()
            # The run waits for 250 ms at most.
            server.advance(min(pool.tend(server.now), server.now + 0.25, until))
