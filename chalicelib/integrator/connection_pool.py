"""The connections to the legacy: which one a call gets, and when an idle one is closed.

A kept connection saves the next call a handshake. But many servers give each connection a thread
until it closes; while the connection is idle, the thread does nothing. If our idle connections held
all threads, calls on new connections would wait for ever. Rules:

1. An idle connection is closed after ``keep_alive_s``.
2. There are no more connections than calls were in flight at once in the last second or two.
3. While a call waits for its first byte on a new connection, there are no more connections than
   calls in flight now: the limit has fallen, and no other call needs the idle ones.
4. While a call of any thread starves on a new connection, none is kept: each closes once it is
   answered.
5. An idle connection that has received anything is closed: no request has asked for it.
6. A connection is closed after a call that failed, or got 421 (RFC 9110, section 15.5.20), and
   after two calls in a row that were not delivered. A balancer of connections may have led it to a
   node that is broken: one that fails fast gives its connections back first, and gets most calls.

    limit 3, two threads:   kept connection ██answered██answered██answered█
                            kept connection ██answered██answered██answered█
                            new connection  ░░░░░░waits░░░░░░│starves: the next to be answered close

A call starves after twice the usual latency and a margin. But servers accept connections in order:
if a later connection was answered, then the call is slow, and does not starve.
"""

import math
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from chalicelib.integrator.outcome import CallResult, Outcome

_PATIENCE = 2.0
# For what a new connection needs besides. TLS handshakes of hundreds of calls at once take a while,
# and connections that are closed for their sake would need handshakes themselves.
_MARGIN_S = 0.1
_TLS_MARGIN_S = 1.0
# The most calls in flight are counted over one to two of these.
_PEAK_S = 1.0
# Rule 3 looks at every call in flight, so it is not applied more often than this.
_LOOK_S = 0.01
_WEIGHT = 1 / 16  # of one call in the mean latency
_MISDIRECTED = 421


class Connection(Protocol):
    """A connection for one call at a time."""

    @property
    def is_connected(self) -> bool:
        """Whether the next call can be sent without opening a connection."""

    @property
    def is_new(self) -> bool:
        """Whether the present or last call opened the connection."""

    @property
    def is_quiet(self) -> bool:
        """Whether the idle connection has received nothing since its last response."""

    @property
    def is_answered(self) -> bool:
        """Whether the present or last call has received a byte."""

    def close(self) -> None:
        """Close the connection for good."""


ConnectionT = TypeVar("ConnectionT", bound=Connection)


class ConnectionStats:
    """What the threads of a run share about the legacy's connections.

    No lock: an update that is lost among thousands changes nothing.

    Attributes:
        latency_s: the mean latency of answered calls; None before the first.
        last_new_at: the start of the last call that a new connection answered.
        starving: the pools with a call that starves.
    """

    def __init__(self) -> None:
        self.latency_s: float | None = None
        self.last_new_at = -math.inf
        self.starving: set[object] = set()


class ConnectionPool(Generic[ConnectionT]):
    """The connections of one thread. Instants are monotonic, in seconds.

    Args:
        make: makes a connection, which need not be opened yet.
        shared: what the threads of the run share.
        keep_alive_s: how long an idle connection is kept; 0: each call opens its own.
        is_tls: whether a new connection needs a TLS handshake.
    """

    def __init__(
        self,
        make: Callable[[], ConnectionT],
        shared: ConnectionStats,
        *,
        keep_alive_s: float,
        is_tls: bool,
    ) -> None:
        self._make = make
        self._shared = shared
        self._keep_alive_s = keep_alive_s
        self._margin_s = _TLS_MARGIN_S if is_tls else _MARGIN_S
        self._taken: dict[ConnectionT, float] = {}  # with the start of its call, in that order
        # With the end of its last call, in that order. Last in, first out: surplus ones grow old.
        self._idle: list[tuple[ConnectionT, float]] = []
        self._doubted: set[ConnectionT] = set()  # the last call on it was not delivered
        self._most = 1
        self._peak = self._peak_before = 0
        self._peak_since = self._look_at = -math.inf

    def take(self, now: float) -> ConnectionT:
        """Return a connection for a call that starts."""
        connection = self._quiet() or self._make()
        self._taken[connection] = now
        return connection

    def give_back(self, connection: ConnectionT, now: float, result: CallResult) -> None:
        """Take a connection back after its call has ended with this result."""
        started_at = self._taken.pop(connection)
        if connection.is_answered:
            self._learn(started_at, now - started_at, is_new=connection.is_new)
        if connection.is_connected and self._keep_alive_s and self._trusts(connection, result):
            self._idle.append((connection, now))
            self._close_surplus(self._most)
        else:
            self._close(connection)

    def drop(self, connection: ConnectionT) -> None:
        """Close the connection of a call that failed by a bug: its state is unknown."""
        del self._taken[connection]
        self._close(connection)

    def tend(self, now: float) -> float:
        """Close idle connections by the rules; return when to call this again at the latest.

        To be called before each wait for answers, when all calls have started that may.
        """
        while self._idle and self._idle[0][1] + self._keep_alive_s <= now:
            self._close(self._idle.pop(0)[0])
        starves_at = self._next_starving(now)
        if starves_at <= now:
            self._shared.starving.add(self)
        else:
            self._shared.starving.discard(self)
        self._most = self._most_connections(now)
        self._close_surplus(self._most)
        again_at = starves_at if starves_at > now else math.inf
        if self._idle:
            again_at = min(again_at, self._idle[0][1] + self._keep_alive_s)
            if self._taken:
                if self._look_at <= now:
                    self._look_at = now + _LOOK_S
                    if any(map(_is_waiting, self._taken)):
                        self._close_surplus(len(self._taken))
                again_at = min(again_at, self._look_at)
        return again_at

    def close(self) -> None:
        """Close all connections, also those of calls in flight."""
        self._shared.starving.discard(self)
        for connection in (*self._taken, *(each for each, _ in self._idle)):
            connection.close()
        self._taken.clear()
        self._idle.clear()
        self._doubted.clear()

    def _quiet(self) -> ConnectionT | None:
        """Return the idle connection of the newest call; close those that are not quiet."""
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_quiet:
                return connection
            self._close(connection)
        return None

    def _trusts(self, connection: ConnectionT, result: CallResult) -> bool:
        """Return whether a connection is worth keeping after a call; see rule 6."""
        if result.outcome is Outcome.DELIVERED:
            self._doubted.discard(connection)
            return True
        if result.outcome is Outcome.FAILED or result.http_status == _MISDIRECTED:
            return False
        if connection in self._doubted:
            return False
        self._doubted.add(connection)
        return True

    def _close(self, connection: ConnectionT) -> None:
        self._doubted.discard(connection)
        connection.close()

    def _learn(self, started_at: float, latency_s: float, *, is_new: bool) -> None:
        shared = self._shared
        mean_s = latency_s if shared.latency_s is None else shared.latency_s
        shared.latency_s = mean_s + (latency_s - mean_s) * _WEIGHT
        if is_new:
            shared.last_new_at = max(shared.last_new_at, started_at)

    def _next_starving(self, now: float) -> float:
        """Return when the first of the calls in flight starves, or has begun to."""
        if self._shared.latency_s is None:
            return math.inf
        patience_s = _PATIENCE * self._shared.latency_s + self._margin_s
        for connection, started_at in self._taken.items():
            if started_at < self._shared.last_new_at:
                continue
            starves_at = started_at + patience_s
            if starves_at > now or _is_waiting(connection):
                return starves_at
        return math.inf

    def _most_connections(self, now: float) -> int:
        if now - self._peak_since >= _PEAK_S:
            self._peak_before = self._peak if now - self._peak_since < 2 * _PEAK_S else 0
            self._peak, self._peak_since = 0, now
        self._peak = max(self._peak, len(self._taken))
        return 0 if self._shared.starving else max(1, self._peak, self._peak_before)

    def _close_surplus(self, most: int) -> None:
        while self._idle and len(self._taken) + len(self._idle) > most:
            self._close(self._idle.pop(0)[0])


def _is_waiting(connection: Connection) -> bool:
    return not connection.is_answered and connection.is_new
