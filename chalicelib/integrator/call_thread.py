"""A thread of the call pool: it makes many calls at once, through libcurl's multi interface.

It renders requests, transfers and judges responses, so that the run, which renews leases, never
waits for any of these.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pycurl

from chalicelib import telemetry
from chalicelib.integrator.connection_pool import ConnectionPool, ConnectionStats
from chalicelib.integrator.legacy.connect import connect
from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.libcurl.call_steps import PAUSE_S, Call
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.integrator.transfers import Transfers
from chalicelib.postgres.claims import Claimed

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authenticated_connection import AuthenticatedConnection

THREAD_NAME = "call-thread"
_LONGEST_WAIT_S = 60.0
# A call that has waited longer for its thread is not sent: its lease could expire during the call.
_MAX_QUEUED_S = 1.0


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """A call that has ended.

    ``sent_at`` is when the run handed it over. ``in_flight`` is how many calls were in flight then,
    itself included.
    """

    record: Claimed
    result: CallResult
    sent_at: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class StartedCall:
    """A call that the run has handed over; the attributes are those of ``FinishedCall``."""

    record: Claimed
    sent_at: float
    in_flight: int

    def finish(self, result: CallResult) -> FinishedCall:
        """Return the call with its result."""
        return FinishedCall(self.record, result, self.sent_at, self.in_flight)


@dataclass(frozen=True, slots=True)
class _OpenCall:
    started: StartedCall
    connection: LegacyConnection | AuthenticatedConnection
    call: Call


class CallThread:
    """A thread, its connections and its calls.

    ``send`` and ``close`` may be called from any thread.

    Args:
        endpoint: the legacy.
        shared: what the threads of the pool share about connections.
        on_finished: takes calls that have ended.

    Attributes:
        calls: how many calls the pool has handed over and not yet collected. Only the pool uses it.
    """

    def __init__(
        self,
        endpoint: LegacyEndpoint,
        shared: ConnectionStats,
        on_finished: Callable[[list[FinishedCall]], None],
    ) -> None:
        self.calls = 0
        self._on_finished = on_finished
        self._queued: deque[StartedCall] = deque()
        self._open: dict[pycurl.Curl, _OpenCall] = {}  # by the handle of the transfer
        self._paused: list[_OpenCall] = []
        self._resume_at = math.inf  # when the paused calls go on
        self._finished: list[FinishedCall] = []
        self._is_closed = False
        self._is_broken = False
        self._transfers = Transfers()
        self._connections = ConnectionPool(
            lambda: connect(endpoint),
            shared,
            keep_alive_s=endpoint.keep_alive_s,
            is_tls=endpoint.url.lower().startswith("https:"),
        )
        # A daemon: an open call must not keep the process from exiting.
        self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system allows no more threads.
        """
        try:
            self._thread.start()
        except RuntimeError:
            self._transfers.close()
            raise

    def send(self, call: StartedCall) -> None:
        """Begin a call and return at once."""
        self.calls += 1
        self._queued.append(call)
        if self._is_broken:  # since a moment ago: it may not see this call any more
            self._fail_queued(RuntimeError("the thread has ended"))
        self._transfers.wake()

    def close(self) -> None:
        """Have the thread abort its calls, close its connections and end; do not wait."""
        self._is_closed = True
        self._transfers.wake()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended, or the timeout has passed."""
        self._thread.join(timeout_s)

    @property
    def is_alive(self) -> bool:
        """Whether the thread makes the calls that it is given."""
        return self._thread.is_alive() and not self._is_broken

    def _work(self) -> None:
        try:
            while not self._is_closed:
                self._turn()
        except Exception as error:  # noqa: BLE001 - see _failed
            self._is_broken = True
            unfinished = [*self._open.values(), *self._paused]
            self._finished += [_failed(each.started, error) for each in unfinished]
            self._on_finished(self._finished)
            self._fail_queued(error)
        finally:
            self._transfers.close()
            self._connections.close()

    def _turn(self) -> None:
        """Begin the queued calls, wait, and resume those whose transfer or pause has ended."""
        while self._queued:
            self._begin(self._queued.popleft())
        now = time.monotonic()
        if self._resume_at <= now:
            paused, self._paused, self._resume_at = self._paused, [], math.inf
            for each in paused:
                self._go_on(each, partial(each.call.send, int(pycurl.E_OK)))
        wait_s = min(min(self._connections.tend(now), self._resume_at) - now, _LONGEST_WAIT_S)
        if not self._finished:
            for handle, error in self._transfers.wait(max(0.0, wait_s)):
                call = self._open.pop(handle)
                self._go_on(call, partial(call.call.send, error))
        if self._finished:
            finished, self._finished = self._finished, []
            self._on_finished(finished)

    def _begin(self, started: StartedCall) -> None:
        now = time.monotonic()
        queued_s = now - started.sent_at
        if queued_s > _MAX_QUEUED_S:
            log = "Not sent: no thread was free in time."
            result = CallResult(Outcome.OVERLOADED, queued_s, log=log)
            self._finished.append(started.finish(result))
            return
        try:
            connection = self._connections.take(now)
        except Exception as error:  # noqa: BLE001 - see _failed
            self._finished.append(_failed(started, error))
            return
        call = connection.call(started.record.id, started.record.body)
        self._go_on(_OpenCall(started, connection, call), call.__next__)

    def _go_on(self, call: _OpenCall, resume: Callable[[], pycurl.Curl | None]) -> None:
        """Resume a call; begin its next transfer or pause, or finish it."""
        try:
            handle = resume()
        except StopIteration as end:
            self._finished.append(call.started.finish(end.value))
            self._connections.give_back(call.connection, time.monotonic(), end.value)
        except Exception as failure:  # noqa: BLE001 - see _failed
            self._finished.append(_failed(call.started, failure))
            self._connections.drop(call.connection)  # its state is unknown
        else:
            if handle is None:
                self._paused.append(call)
                self._resume_at = min(self._resume_at, time.monotonic() + PAUSE_S)
                return
            self._open[handle] = call
            self._transfers.start(handle)

    def _fail_queued(self, error: Exception) -> None:
        """Fail the calls that have not begun; several threads may do so at once."""
        with contextlib.suppress(IndexError):
            while True:
                self._on_finished([_failed(self._queued.popleft(), error)])


def _failed(call: StartedCall, error: Exception) -> FinishedCall:
    """Fail a call after a bug in this service, which must not end the calls of all others."""
    telemetry.error("internal error in a call", error, id=call.record.id)
    log = "Internal error of this service; the legacy may have received the record."
    return call.finish(CallResult(Outcome.FAILED, time.monotonic() - call.sent_at, log=log))
