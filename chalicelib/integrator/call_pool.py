"""The thread pool: threads that do HTTP and nothing else.

A call is handed over, and its reply comes back through a queue to the thread that asks for it. How
many may be open at once is for the caller to say, by what it hands over. Promises that handing one
over takes no time: a thread of its own makes the others, ahead of need where that is foreseen.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass

from chalicelib import telemetry
from chalicelib.integrator.legacy_client import Channel, Legacy
from chalicelib.integrator.outcome import Outcome, Reply
from chalicelib.postgres.claims import Claimed

# How late a call that takes too long may be found out.
_EXPIRE_EVERY_S = 0.25
# Between two threads that are made ahead of need, which calls under way must not feel.
_PAUSE_S = 0.0005
# A call that finds no thread for so long is not sent any more: its lease could end under way.
_LATEST_S = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that has ended.

    ``sent_at`` is when its caller handed it over, ``in_flight`` how many calls were open then,
    itself included.
    """

    record: Claimed
    reply: Reply
    sent_at: float
    in_flight: int


class Senders:
    """Sends records to the legacy, each call in a thread.

    There are as many connections as calls were ever open at once, whatever the number of threads.
    """

    def __init__(self, legacy: Legacy) -> None:
        self._legacy = legacy
        self._calls: queue.SimpleQueue[tuple[Claimed, float, int] | None]
        self._calls = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Sent | None] = queue.SimpleQueue()
        self._channels: list[Channel] = []
        # Last in, first out: a connection that is not needed any more is left to its own end.
        self._unused: deque[Channel] = deque()
        self._threads: list[threading.Thread] = []
        self._wanted = 0
        self._is_more_wanted = threading.Event()
        self._closed = False
        self.in_flight: dict[str, Claimed] = {}

    def prepare(self, calls: int) -> None:
        """Have threads made, soon, for so many calls at once."""
        if calls <= self._wanted:
            return
        if not self._wanted:
            threading.Thread(target=self._tend, daemon=True).start()
        self._wanted = calls
        self._is_more_wanted.set()

    def send(self, record: Claimed, now: float) -> None:
        """Begin a call, now; the caller sees to it that the limit allows it."""
        self.in_flight[record.id] = record
        self._calls.put((record, now, len(self.in_flight)))
        self.prepare(len(self.in_flight))

    def ended(self, timeout_s: float) -> list[Sent]:
        """Wait up to ``timeout_s`` for a call to end, or ``wake``, and return all that have."""
        found: list[Sent | None] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._ended.get(timeout=max(0.0, timeout_s)))
            while True:
                found.append(self._ended.get_nowait())
        calls = [each for each in found if each]
        for sent in calls:
            del self.in_flight[sent.record.id]
        return calls

    def wake(self) -> None:
        """End a wait for calls, from any thread."""
        self._ended.put(None)

    def close(self) -> None:
        """Let the threads end, each after its call."""
        self._closed = True
        self._wanted = min(self._wanted, len(self.in_flight))
        self._calls.put(None)
        self._is_more_wanted.set()

    def _tend(self) -> None:
        """Make the threads, and end the calls that take too long, whatever others wait for."""
        while not self._closed or any(thread.is_alive() for thread in self._threads):
            self._is_more_wanted.wait(_EXPIRE_EVERY_S)
            self._is_more_wanted.clear()
            self._make_threads()
            for channel in tuple(self._channels):
                channel.expire()

    def _make_threads(self) -> None:
        while len(self._threads) < self._wanted:
            if len(self._threads) >= len(self.in_flight):
                time.sleep(_PAUSE_S)
            # A daemon: a thread stuck in a name look-up must not keep the process from ending.
            thread = threading.Thread(target=self._work, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system has no more; tried again soon
                telemetry.event("no more threads", level=logging.WARNING, reason=str(error))
                return
            self._threads.append(thread)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            record, sent_at, in_flight = call
            late_s = time.monotonic() - sent_at
            if late_s > _LATEST_S:
                reply = Reply(Outcome.OVERLOADED, late_s, log="Not sent: no thread was free.")
            else:
                reply = self._send(record)
            self._ended.put(Sent(record, reply, sent_at, in_flight))
        self._calls.put(None)  # for the next thread
        with contextlib.suppress(IndexError):
            while True:
                self._unused.pop().close()

    def _send(self, record: Claimed) -> Reply:
        """Send, whatever comes of it: a thread that died would keep its call open for ever."""
        started = time.monotonic()
        try:
            channel = self._unused.pop()
        except IndexError:
            channel = Channel(self._legacy)
            self._channels.append(channel)
        try:
            return channel.send(record.id, record.body)
        except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours
            telemetry.error("a call failed", error, id=record.id)
            channel.close()
            latency_s = time.monotonic() - started
            return Reply(Outcome.FAILED, latency_s, log="The service met a fault of its own.")
        finally:
            self._unused.append(channel)
