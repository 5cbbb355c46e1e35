"""The thread pool: threads that do HTTP and nothing else.

A call is handed over, and its reply comes back through a queue to the thread that asks for it. How
many may be open at once is for the caller to say, by what it hands over.
"""

import contextlib
import queue
import threading
import time
from dataclasses import dataclass

from chalicelib import telemetry
from chalicelib.integrator.legacy import Channel, Legacy
from chalicelib.integrator.reply import Outcome, Reply
from chalicelib.postgres.claims import Claimed

# How late a call that takes too long may be found out.
_EXPIRE_EVERY_S = 0.25


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
    """Sends records to the legacy, each call in a thread, as many threads as were ever needed."""

    def __init__(self, legacy: Legacy) -> None:
        self._legacy = legacy
        self._calls: queue.SimpleQueue[tuple[Claimed, float, int] | None]
        self._calls = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Sent | None] = queue.SimpleQueue()
        self._channels: list[Channel] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.in_flight: dict[str, Claimed] = {}

    def send(self, record: Claimed, now: float) -> None:
        """Begin a call, now; the caller sees to it that the limit allows it."""
        self.in_flight[record.id] = record
        if not self._channels:
            threading.Thread(target=self._expire, daemon=True).start()
        if len(self.in_flight) > len(self._channels):
            channel = Channel(self._legacy)
            self._channels.append(channel)
            # A daemon: a thread stuck in a name look-up must not keep the process from ending.
            thread = threading.Thread(target=self._work, args=(channel,), daemon=True)
            self._threads.append(thread)
            thread.start()
        self._calls.put((record, now, len(self.in_flight)))

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
        for _ in self._channels:
            self._calls.put(None)

    def _expire(self) -> None:
        """End the calls that take too long, whatever the caller's thread is waiting for."""
        while not self._closed or any(thread.is_alive() for thread in self._threads):
            for channel in tuple(self._channels):
                channel.expire()
            time.sleep(_EXPIRE_EVERY_S)

    def _work(self, channel: Channel) -> None:
        while (call := self._calls.get()) is not None:
            record, sent_at, in_flight = call
            reply = self._send(channel, record)
            self._ended.put(Sent(record, reply, sent_at, in_flight))
        channel.close()

    @staticmethod
    def _send(channel: Channel, record: Claimed) -> Reply:
        """Send, whatever comes of it: a thread that died would keep its call open for ever."""
        started = time.monotonic()
        try:
            return channel.send(record.id, record.body)
        except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours
            telemetry.error("a call failed", error, id=record.id)
            channel.close()
            latency_s = time.monotonic() - started
            return Reply(Outcome.FAILED, latency_s, log="The service met a fault of its own.")
