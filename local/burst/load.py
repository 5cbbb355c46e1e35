"""Send the punches of a burst: several processes POST them as clients do at a shift change.

The load is an open loop: each punch is due at its own time, whether or not earlier ones have a
response. A delay by the bound on concurrent calls counts as part of the punch's latency. A punch is
retried unchanged until the service accepts it or refuses it permanently. A share of the accepted
punches is sent again, as by clients that lost the response.
"""

import asyncio
import json
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from chalicelib.instant import to_text
from chalicelib.record_id import punch_id
from local.burst.http_client import NO_RESPONSE, HttpClient

_CALL_TIMEOUT_S = 30.0
_RETRY_BASE_S = 0.25
_RETRY_MAX_S = 5.0
_RETRY_MAX_DOUBLINGS = 10  # more would overflow a float, long after the maximum is reached
_RETRYABLE = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of one burst, the same for every process.

    Attributes:
        url: the route that accepts punches.
        token: the employer's token.
        employer_id: unique to this burst, so that bursts never share a record.
        punches: the number of punches.
        seconds: the time between the first and the last due time.
        starts_at: Unix time at which the first punch is due.
        processes: the number of sending processes.
        resend_share: the share of the accepted punches that are sent again.
        concurrency: the most calls in flight of one process.
    """

    url: str
    token: str
    employer_id: int
    punches: int
    seconds: float
    starts_at: float
    processes: int
    resend_share: float
    concurrency: int

    def punch_numbers(self, process: int) -> Iterator[int]:
        """Yield the numbers of the punches that a process sends, in order of their due times."""
        return iter(range(process, self.punches, self.processes))

    def due_at(self, number: int) -> float:
        """Return the Unix time at which a punch is due."""
        return self.starts_at + self.seconds * number / self.punches

    def punch(self, number: int) -> tuple[str, bytes]:
        """Return the id and the request body of a punch. Each punch is of another employee."""
        included_at = datetime.fromtimestamp(self.due_at(number), UTC)
        record_id = punch_id(self.employer_id, number + 1, included_at)
        body = {
            "employeeId": number + 1,
            "employerId": self.employer_id,
            "includedAt": to_text(included_at),
        }
        return str(record_id), json.dumps(body).encode()


@dataclass(slots=True)
class SendResult:
    """The responses to the punches of one process.

    Attributes:
        accepted: ids that the service accepted.
        refused: ids that the service refused permanently.
        last_accepted_at: Unix time of the last acceptance.
        last_response_at: Unix time of the last response.
        calls: the number of POSTs, retries and repetitions included.
        resent: the number of accepted punches that were sent again.
        post_ms: the latency of each POST that got a response.
        wait_ms: the time from the due time of each accepted punch to its acceptance.
        refusal: the response to the first refused punch.
        cpu_s: the CPU of the process, without its start.
    """

    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    last_accepted_at: float = 0.0
    last_response_at: float = 0.0
    calls: int = 0
    resent: int = 0
    post_ms: list[float] = field(default_factory=list)
    wait_ms: list[float] = field(default_factory=list)
    refusal: str = ""
    cpu_s: float = 0.0


def retry_delay_s(attempt: int, jitter: float) -> float:
    """Return the delay after the n-th failed attempt: exponential, bounded, with jitter.

    Args:
        attempt: the number of failed attempts before this one.
        jitter: from 0 (half the delay) to 1 (all of it).
    """
    delay_s: float = min(_RETRY_MAX_S, _RETRY_BASE_S * 2 ** min(attempt, _RETRY_MAX_DOUBLINGS))
    return delay_s * (0.5 + jitter / 2)


class SenderPool:
    """The sending processes of one burst, from their start to their last response."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        # The number of accepted punches of each process; the last item is 1 once they must give up.
        self._shared = context.RawArray("q", plan.processes + 1)
        self._pending: dict[Connection, BaseProcess] = {}
        self._results: list[SendResult] = []
        for number in range(plan.processes):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (plan, number, self._shared, sender)
            process = context.Process(target=_run, args=arguments, daemon=True)
            process.start()
            sender.close()
            self._pending[receiver] = process

    def accepted(self) -> int:
        """Return the number of punches accepted so far."""
        return sum(self._shared[:-1])

    def results(self, timeout_s: float) -> Sequence[SendResult] | None:
        """Wait for every process to end and return their results; None after the timeout.

        Raises:
            EOFError: a process died.
        """
        deadline = time.monotonic() + timeout_s
        for receiver, process in list(self._pending.items()):
            if not receiver.poll(max(0.0, deadline - time.monotonic())):
                return None
            self._results.append(receiver.recv())
            process.join()
            del self._pending[receiver]
        return self._results

    def give_up(self) -> None:
        """Tell the processes to retry no more."""
        self._shared[-1] = 1

    def stop(self) -> None:
        """Terminate the processes that still run."""
        for process in self._pending.values():
            process.terminate()
            process.join()


def _run(plan: Plan, number: int, shared: Any, connection: Connection) -> None:
    sender = _Sender(plan, number, shared)
    started_s = time.process_time()
    try:
        asyncio.run(sender.send_all())
    except KeyboardInterrupt:
        return  # the parent got the same signal and reports it
    sender.result.cpu_s = time.process_time() - started_s
    connection.send(sender.result)


class _Sender:
    """The clients of one process, in one event loop."""

    def __init__(self, plan: Plan, process: int, shared: Any) -> None:
        self.result = SendResult()
        self._plan = plan
        self._process = process
        self._shared = shared
        self._random = random.Random(plan.employer_id + process)
        self._slots = asyncio.Semaphore(plan.concurrency)

    async def send_all(self) -> None:
        """Send each punch when it is due; return once each is accepted, refused or given up."""
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._plan.token}",
        }
        with HttpClient(self._plan.url, headers, timeout_s=_CALL_TIMEOUT_S) as client:
            async with asyncio.TaskGroup() as tasks:
                for number in self._plan.punch_numbers(self._process):
                    await asyncio.sleep(max(0.0, self._plan.due_at(number) - time.time()))
                    tasks.create_task(self._send(client, number))

    async def _send(self, client: HttpClient, number: int) -> None:
        """Send one punch until it is accepted, refused permanently or given up."""
        record_id, body = self._plan.punch(number)
        attempt = 0
        while (response := await self._post(client, body)) is None:
            if self._shared[-1]:
                return
            await asyncio.sleep(retry_delay_s(attempt, self._random.random()))
            attempt += 1
        status, content = response
        if status not in (200, 201) or json.loads(content).get("id") != record_id:
            self.result.refused.append(record_id)
            self.result.refusal = self.result.refusal or f"{status} {content.decode()}"
            return
        now = time.time()
        self.result.accepted.append(record_id)
        self.result.wait_ms.append((now - self._plan.due_at(number)) * 1000)
        self.result.last_accepted_at = now
        self._shared[self._process] += 1
        if self._random.random() < self._plan.resend_share:
            self.result.resent += 1
            await self._post(client, body)

    async def _post(self, client: HttpClient, body: bytes) -> tuple[int, bytes] | None:
        """Return the status and the body of the response; None if the call must be retried."""
        async with self._slots:
            self.result.calls += 1
            started = time.perf_counter()
            try:
                status, content = await client.post(body)
            except NO_RESPONSE:
                return None
        if status >= 500 or status in _RETRYABLE:
            return None
        self.result.last_response_at = time.time()
        self.result.post_ms.append((time.perf_counter() - started) * 1000)
        return status, content
