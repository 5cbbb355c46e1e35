"""The call pool: the calls in flight, all in the thread of the run.

The run hands records over with ``send``, and waits in ``collect``, where libcurl transfers all
calls at once. The pool has no limit of its own: the run decides how many calls are in flight.
"""

import time
from dataclasses import dataclass

import pycurl

from chalicelib import telemetry
from chalicelib.integrator.connection_pool import ConnectionPool
from chalicelib.integrator.legacy_client import LegacyConnection, LegacyEndpoint
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.integrator.transfers import Transfers
from chalicelib.postgres.claims import Claimed


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
class _OpenCall:
    connection: LegacyConnection
    record: Claimed
    sent_at: float
    in_flight: int


class CallPool:
    """Sends records to the legacy.

    Belongs to the thread of the run; only ``wake`` may be called from other threads. Calls make
    progress only in ``collect``.

    Args:
        endpoint: the legacy.
    """

    def __init__(self, endpoint: LegacyEndpoint) -> None:
        self.call_timeout_s = endpoint.call_timeout_s
        self.in_flight: dict[str, Claimed] = {}  # by record id
        self._transfers = Transfers()
        self._connections = ConnectionPool(
            lambda: LegacyConnection(endpoint),
            keep_alive_s=endpoint.keep_alive_s,
            is_tls=endpoint.url.lower().startswith("https:"),
        )
        self._open: dict[pycurl.Curl, _OpenCall] = {}
        self._finished: list[FinishedCall] = []

    def send(self, record: Claimed, now: float) -> None:
        """Begin a call and return at once. The caller ensures that the limit allows the call."""
        self.in_flight[record.id] = record
        connection = self._connections.take(now)
        call = _OpenCall(connection, record, now, len(self.in_flight))
        try:
            result = connection.begin(record.id, record.body)
        except Exception as error:  # noqa: BLE001 - see _fail
            self._fail(call, error)
        else:
            self._go_on(call, result)

    def collect(self, timeout_s: float) -> list[FinishedCall]:
        """Return all calls that have ended; wait up to ``timeout_s`` for one, or for ``wake``."""
        now = time.monotonic()
        timeout_s = min(timeout_s, self._connections.tend(now) - now)
        for handle, error in self._transfers.wait(0.0 if self._finished else max(0.0, timeout_s)):
            self._end(self._open.pop(handle), error)
        finished, self._finished = self._finished, []
        for call in finished:
            del self.in_flight[call.record.id]
        return finished

    def wake(self) -> None:
        """End the wait in ``collect``, from any thread."""
        self._transfers.wake()

    def close(self) -> None:
        """Abort the calls in flight, and close all connections."""
        self._transfers.close()
        self._connections.close()
        self._open.clear()

    def _go_on(self, call: _OpenCall, result: CallResult | None) -> None:
        """Finish a call that has a result, transfer one that has none yet."""
        if result is None:
            self._open[call.connection.handle] = call
            self._transfers.start(call.connection.handle)
        else:
            self._connections.give_back(call.connection, time.monotonic())
            self._finish(call, result)

    def _end(self, call: _OpenCall, error: int) -> None:
        try:
            result = call.connection.end(error)
        except Exception as failure:  # noqa: BLE001 - see _fail
            self._fail(call, failure)
        else:
            self._go_on(call, result)

    def _fail(self, call: _OpenCall, error: Exception) -> None:
        """Fail a call after a bug in this service, which must not end the run of all others."""
        telemetry.error("internal error in a call", error, id=call.record.id)
        self._connections.drop(call.connection)
        log = "Internal error of this service; the legacy may have received the record."
        self._finish(call, CallResult(Outcome.FAILED, time.monotonic() - call.sent_at, log=log))

    def _finish(self, call: _OpenCall, result: CallResult) -> None:
        self._finished.append(FinishedCall(call.record, result, call.sent_at, call.in_flight))
