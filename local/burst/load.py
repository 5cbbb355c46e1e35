"""The phones of a burst: several processes that POST punches as a shift change does.

Promises an open loop: each punch is due at its own time, whether or not earlier ones were answered.
Where the bound of calls at once holds it back, that is part of its wait. A punch is sent again,
unchanged, until it is accepted or refused for good, and a share of the accepted ones once more, as
by phones that never saw the answer.
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

import aiohttp

from chalicelib.instant import to_text
from chalicelib.point_record import punch_id

_CALL_TIMEOUT_S = 30.0
_RETRY_BASE_S = 0.25
_RETRY_MAX_S = 5.0
_RETRY_DOUBLINGS = 10  # beyond them the longest wait is long reached
_NOT_FOR_GOOD = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Plan:
    """One burst, the same for every process.

    Attributes:
        url: where punches are POSTed to.
        token: of the employer, by which they are.
        employer_id: of this burst alone, so that no two bursts meet.
        starts_at: Unix time at which the first punch is due; the last is due ``seconds`` later.
        resent: share of the accepted punches that are sent once more.
        at_once: most calls in flight of one process.
    """

    url: str
    token: str
    employer_id: int
    punches: int
    seconds: float
    starts_at: float
    processes: int
    resent: float
    at_once: int

    def numbers(self, process: int) -> Iterator[int]:
        """Yield the numbers of the punches that are one process's to send, in order of time."""
        return iter(range(process, self.punches, self.processes))

    def due_at(self, number: int) -> float:
        """Return the Unix time at which a punch happens."""
        return self.starts_at + self.seconds * number / self.punches

    def punch(self, number: int) -> tuple[str, bytes]:
        """Return the id of a punch, one of each employee, and the body that names it."""
        included_at = to_text(datetime.fromtimestamp(self.due_at(number), UTC))
        record_id = punch_id(self.employer_id, number + 1, included_at)
        body = {
            "employeeId": number + 1,
            "employerId": self.employer_id,
            "includedAt": included_at,
        }
        return str(record_id), json.dumps(body).encode()


@dataclass(slots=True)
class Sent:
    """What came of one process's punches.

    Attributes:
        accepted: ids that the service acknowledged.
        refused: ids that it refused for good.
        last_accepted_at: Unix time of the last acceptance.
        last_answer_at: Unix time of the last answer.
        calls: POSTs sent, of all kinds.
        post_ms: how long each answered POST took.
        wait_ms: how long each accepted punch took from when it happened.
        refusal: what the service said to the first refused.
    """

    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    last_accepted_at: float = 0.0
    last_answer_at: float = 0.0
    calls: int = 0
    resent: int = 0
    post_ms: list[float] = field(default_factory=list)
    wait_ms: list[float] = field(default_factory=list)
    refusal: str = ""


def retry_wait_s(attempt: int, chance: float) -> float:
    """Return how long a phone waits after its n-th failed attempt: doubling, bounded, jittered."""
    wait_s: float = min(_RETRY_MAX_S, _RETRY_BASE_S * 2 ** min(attempt, _RETRY_DOUBLINGS))
    return wait_s * (0.5 + chance / 2)


class Crew:
    """The processes of phones of one burst, from their start to their last answer."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        # How many punches of each process were accepted; the last is 1 once phones are to give up.
        self._shared = context.RawArray("q", plan.processes + 1)
        self._pending: dict[Connection, BaseProcess] = {}
        self._sent: list[Sent] = []
        for number in range(plan.processes):
            ours, theirs = context.Pipe(duplex=False)
            arguments = (plan, number, self._shared, theirs)
            process = context.Process(target=_run, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pending[ours] = process

    def accepted(self) -> int:
        """Return how many punches have been accepted so far."""
        return sum(self._shared[:-1])

    def sent(self, wait_s: float) -> Sequence[Sent] | None:
        """Wait for all phones to end, and return what came of them; None if they take longer.

        Raises:
            EOFError: a process died.
        """
        deadline = time.monotonic() + wait_s
        for result, process in list(self._pending.items()):
            if not result.poll(max(0.0, deadline - time.monotonic())):
                return None
            self._sent.append(result.recv())
            process.join()
            del self._pending[result]
        return self._sent

    def give_up(self) -> None:
        """Have phones that got no answer not try again."""
        self._shared[-1] = 1

    def stop(self) -> None:
        """End the processes that are still there."""
        for process in self._pending.values():
            process.terminate()
            process.join()


def _run(plan: Plan, number: int, shared: Any, result: Connection) -> None:
    phones = _Phones(plan, number, shared)
    try:
        asyncio.run(phones.send_all())
    except KeyboardInterrupt:
        return  # whoever follows the burst was told the same
    result.send(phones.sent)


class _Phones:
    """The phones of one process, all in one event loop."""

    def __init__(self, plan: Plan, process: int, shared: Any) -> None:
        self.sent = Sent()
        self._plan = plan
        self._process = process
        self._shared = shared
        self._random = random.Random(plan.employer_id + process)
        self._free = asyncio.Semaphore(plan.at_once)

    async def send_all(self) -> None:
        """Send each punch when it is due; return once all are settled."""
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._plan.at_once),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_CALL_TIMEOUT_S),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {self._plan.token}",
                },
            ) as session,
            asyncio.TaskGroup() as phones,
        ):
            for number in self._plan.numbers(self._process):
                await asyncio.sleep(max(0.0, self._plan.due_at(number) - time.time()))
                phones.create_task(self._punch(session, number))

    async def _punch(self, session: aiohttp.ClientSession, number: int) -> None:
        """Send one punch until it is accepted or refused for good."""
        record_id, body = self._plan.punch(number)
        attempt = 0
        while (answer := await self._post(session, body)) is None:
            if self._shared[-1]:
                return
            await asyncio.sleep(retry_wait_s(attempt, self._random.random()))
            attempt += 1
        status, text = answer
        if status not in (200, 201) or json.loads(text).get("id") != record_id:
            self.sent.refused.append(record_id)
            self.sent.refusal = self.sent.refusal or f"{status} {text.decode()}"
            return
        now = time.time()
        self.sent.accepted.append(record_id)
        self.sent.wait_ms.append((now - self._plan.due_at(number)) * 1000)
        self.sent.last_accepted_at = now
        self._shared[self._process] += 1
        if self._random.random() < self._plan.resent:
            self.sent.resent += 1
            await self._post(session, body)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, bytes] | None:
        """Return the status and the body of the answer; None if the call is to be made again."""
        async with self._free:
            self.sent.calls += 1
            started = time.perf_counter()
            try:
                async with session.post(self._plan.url, data=body) as response:
                    text = await response.read()
            except (aiohttp.ClientError, TimeoutError):
                return None
        if response.status >= 500 or response.status in _NOT_FOR_GOOD:
            return None
        self.sent.last_answer_at = time.time()
        self.sent.post_ms.append((time.perf_counter() - started) * 1000)
        return response.status, text
