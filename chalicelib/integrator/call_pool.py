"""The call pool: threads that make HTTP calls and do nothing else.

The run hands calls over, and collects their results from a queue. The pool has no limit of its
own: the run decides how many calls it hands over. ``call_thread`` has the threads.
"""

import contextlib
import logging
import queue
import time

from chalicelib import telemetry
from chalicelib.integrator.call_thread import CallThread, FinishedCall, StartedCall
from chalicelib.integrator.connection_pool import ConnectionStats
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.postgres.claims import Claimed

# Each thread transfers many calls at once. More threads compete for the interpreter: with 25 calls
# each, four threads take twice the CPU of one. Fewer let a slow template delay more of the others.
_MAX_THREADS = 4
# Another thread is started when each has this many calls.
_CALLS_PER_THREAD = 100
# A thread that renders a slow template ends later than this.
_LONGEST_CLOSE_S = 1.0


class CallPool:
    """Sends records to the legacy.

    Belongs to the thread of the run; only ``wake`` may be called from other threads.

    Args:
        endpoint: the legacy.
    """

    def __init__(self, endpoint: LegacyEndpoint) -> None:
        self.call_timeout_s = endpoint.call_timeout_s
        self.in_flight: dict[str, Claimed] = {}  # by record id
        self._endpoint = endpoint
        self._finished: queue.SimpleQueue[list[FinishedCall]] = queue.SimpleQueue()
        self._shared = ConnectionStats()
        self._threads: list[CallThread] = []
        self._thread_of: dict[str, CallThread] = {}  # of each call in flight, by record id

    def send(self, record: Claimed, now: float) -> None:
        """Begin a call and return at once. The caller ensures that the limit allows the call."""
        self.in_flight[record.id] = record
        call = StartedCall(record, now, len(self.in_flight))
        thread = self._next_thread()
        if thread is None:
            result = CallResult(Outcome.OVERLOADED, 0.0, log="Not sent: no thread could start.")
            self._finished.put([call.finish(result)])
            return
        self._thread_of[record.id] = thread
        thread.send(call)

    def collect(self, timeout_s: float) -> list[FinishedCall]:
        """Return all calls that have ended; wait up to ``timeout_s`` for one, or for ``wake``."""
        calls: list[FinishedCall] = []
        with contextlib.suppress(queue.Empty):
            calls += self._finished.get(timeout=max(0.0, timeout_s))
            while True:
                calls += self._finished.get_nowait()
        for call in calls:
            del self.in_flight[call.record.id]
            if thread := self._thread_of.pop(call.record.id, None):
                thread.calls -= 1
        return calls

    def wake(self) -> None:
        """End the wait in ``collect``, from any thread."""
        self._finished.put([])

    def close(self) -> None:
        """Abort all calls and close all connections; wait for the threads, but not for long.

        Without the wait, Lambda could freeze the process while its connections are still open.
        """
        for thread in self._threads:
            thread.close()
        deadline = time.monotonic() + _LONGEST_CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _next_thread(self) -> CallThread | None:
        """Return the thread with the fewest calls; start another one if all have many."""
        self._threads = [thread for thread in self._threads if thread.is_alive]
        idlest = min(self._threads, key=lambda thread: thread.calls, default=None)
        if len(self._threads) == _MAX_THREADS or (idlest and idlest.calls < _CALLS_PER_THREAD):
            return idlest
        try:
            thread = CallThread(self._endpoint, self._shared, self._finished.put)
            thread.start()
        except (RuntimeError, OSError) as error:  # the system's limits of threads and of files
            telemetry.event("cannot start a thread", level=logging.WARNING, reason=str(error))
            return idlest
        self._threads.append(thread)
        return thread
