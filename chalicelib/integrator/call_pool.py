"""The call pool: threads that make HTTP calls and do nothing else.

The run hands calls over, and collects their results from a queue. The pool has no limit of its
own: the run decides how many calls it hands over.

Threads:

- Workers: each makes one call at a time.
- One supervisor: starts the workers, ahead of demand if the run announces it. Starting a thread
  takes time, so ``send`` never starts one.

libcurl ends a call that passes its timeout, so nobody has to abort one.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chalicelib import telemetry
from chalicelib.integrator.legacy_client import LegacyEndpoint, connect
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.postgres.claims import Claimed

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authenticated_connection import AuthenticatedConnection
    from chalicelib.integrator.legacy_client import LegacyConnection

THREAD_NAME_PREFIX = "call-pool-"
# Pause before the supervisor retries to start a thread that the system has refused.
_START_RETRY_S = 0.25
# Pause between two threads started ahead of demand, so that running calls do not suffer.
_START_PAUSE_S = 0.0005


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


class CallPool:
    """Sends records to the legacy, each call in a thread of the pool.

    Belongs to the thread of the run; only ``wake`` may be called from other threads. The pool opens
    as many connections as calls were ever in flight at once, however many threads it has.

    Args:
        endpoint: the legacy.
        max_queue_s: how long a call may wait for a thread. A call that waited longer is not sent
            any more: its lease could expire during the call.
    """

    def __init__(self, endpoint: LegacyEndpoint, *, max_queue_s: float = 1.0) -> None:
        self.call_timeout_s = endpoint.call_timeout_s
        self.in_flight: dict[str, Claimed] = {}  # by record id
        self._endpoint = endpoint
        self._max_queue_s = max_queue_s
        self._calls: queue.SimpleQueue[tuple[Claimed, float, int] | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[FinishedCall | None] = queue.SimpleQueue()
        # Last in, first out: surplus connections stay idle until the legacy closes them.
        self._idle_connections: deque[LegacyConnection | AuthenticatedConnection] = deque()
        self._threads: list[threading.Thread] = []
        self._target_threads = 0
        self._needs_supervisor = threading.Event()
        self._is_closed = False

    def prepare(self, calls: int) -> None:
        """Have the supervisor start enough threads for ``calls`` calls at once; do not wait."""
        if calls <= self._target_threads:
            return
        if not self._target_threads:
            self._new_thread(self._supervise, "supervisor").start()
        self._target_threads = calls
        self._needs_supervisor.set()

    def send(self, record: Claimed, now: float) -> None:
        """Begin a call and return at once. The caller ensures that the limit allows the call."""
        self.in_flight[record.id] = record
        self._calls.put((record, now, len(self.in_flight)))
        self.prepare(len(self.in_flight))

    def collect(self, timeout_s: float) -> list[FinishedCall]:
        """Return all calls that have ended; wait up to ``timeout_s`` for one, or for ``wake``."""
        items: list[FinishedCall | None] = []
        with contextlib.suppress(queue.Empty):
            items.append(self._finished.get(timeout=max(0.0, timeout_s)))
            while True:
                items.append(self._finished.get_nowait())
        calls = [each for each in items if each]
        for call in calls:
            del self.in_flight[call.record.id]
        return calls

    def wake(self) -> None:
        """End the wait in ``collect``, from any thread."""
        self._finished.put(None)

    def close(self) -> None:
        """Let each thread end after its current call; do not wait."""
        self._is_closed = True
        self._target_threads = min(self._target_threads, len(self.in_flight))
        self._calls.put(None)
        self._needs_supervisor.set()

    def _supervise(self) -> None:
        """Start threads until the pool is closed."""
        retry_s = None
        while not self._is_closed:
            self._needs_supervisor.wait(retry_s)
            self._needs_supervisor.clear()
            retry_s = None if self._start_threads() else _START_RETRY_S

    def _start_threads(self) -> bool:
        """Start the threads that are missing; return whether the system allowed it."""
        while len(self._threads) < self._target_threads:
            if len(self._threads) >= len(self.in_flight):
                time.sleep(_START_PAUSE_S)
            thread = self._new_thread(self._work, "worker")
            try:
                thread.start()
            except RuntimeError as error:  # the system's limit
                telemetry.event("cannot start a thread", level=logging.WARNING, reason=str(error))
                return False
            self._threads.append(thread)
        return True

    def _new_thread(self, target: Callable[[], None], role: str) -> threading.Thread:
        # A daemon: an open call must not keep the process from exiting.
        return threading.Thread(target=target, name=THREAD_NAME_PREFIX + role, daemon=True)

    def _work(self) -> None:
        """Make one call after another until the pool is closed."""
        while (call := self._calls.get()) is not None:
            record, sent_at, in_flight = call
            queued_s = time.monotonic() - sent_at
            if queued_s > self._max_queue_s:
                log = "Not sent: no thread was free in time."
                result = CallResult(Outcome.OVERLOADED, queued_s, log=log)
            else:
                result = self._send(record)
            self._finished.put(FinishedCall(record, result, sent_at, in_flight))
        self._calls.put(None)  # pass the end marker on to the next thread
        with contextlib.suppress(IndexError):
            while True:
                self._idle_connections.pop().close()

    def _send(self, record: Claimed) -> CallResult:
        """Make a call; catch everything, since a dead thread would leave it in flight for ever."""
        started = time.monotonic()
        try:
            try:
                connection = self._idle_connections.pop()
            except IndexError:
                connection = connect(self._endpoint)
            result = connection.send(record.id, record.body)
            # After an exception it is dropped instead: its state is unknown.
            self._idle_connections.append(connection)
            return result
        except Exception as error:  # noqa: BLE001 - the last resort, for a bug in this service
            telemetry.error("internal error in a call", error, id=record.id)
            latency_s = time.monotonic() - started
            log = "Internal error of this service; the legacy may have received the record."
            return CallResult(Outcome.FAILED, latency_s, log=log)
