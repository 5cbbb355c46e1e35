"""What becomes of one call to the simulated legacy: a fault or work, acceptance, an answer.

Promises that a record which is answered with success was accepted in the ledger before. A call goes
through, in this order: outage, brown-out, scripted answer, rate limit, hang, workers, error, lost
reply; the first that strikes decides.
"""

import asyncio
import json
import math
import re
import socket
import struct
from functools import partial
from random import Random

from aiohttp import web

from chalicelib.errors import InvalidError
from chalicelib.strict_json import load_json
from local.legacy.capacity import TokenBucket, Workers
from local.legacy.ledger import Ledger
from local.legacy.settings import SUCCESS, Answer, LegacySettings, change

# Fit for a line of the journal.
_WORD = re.compile(r"[\x21-\x7e]{1,200}")

# How a call ended to which no status was given. GONE: the client gave up first.
HUNG, RESET, LOST, GONE = "hung", "reset", "lost", "gone"

# Settings that have a course of time, which begins when they are named in a change.
_TIMED = frozenset({"seed", "outage", "brown_out", "rate_limit", "answer"})

# Linger for 0 s: what is closed is reset (socket(7)).
_LINGER_NOT = struct.pack("ii", 1, 0)

Ended = tuple[str, web.StreamResponse]


class Legacy:
    """The system behind the HTTP server. All of it runs in one event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.settings = LegacySettings()
        self._loop = asyncio.get_running_loop()
        self._random = Random()
        self._workers = Workers(self.settings, self._random)
        self._restart(_TIMED)

    def change(self, body: object) -> None:
        """Go on under changed settings; a fault, rate or seed that is named begins anew.

        Raises:
            InvalidError: nothing was changed.
        """
        self.settings = change(self.settings, body)
        self._workers.change(self.settings)
        self._restart(_TIMED.intersection(body if isinstance(body, dict) else ()))

    def reset(self) -> None:
        """Forget all records and counts and begin anew under the settings as they are."""
        self.ledger.reset()
        self._restart(_TIMED)

    async def point_record(self, request: web.BaseRequest) -> web.StreamResponse:
        """Treat one ``POST /point-records``."""
        self.ledger.begin()
        outcome = GONE
        try:
            outcome, response = await self._treat(request)
            return response
        finally:
            self.ledger.end(outcome)

    async def _treat(self, request: web.BaseRequest) -> Ended:
        body = await request.read()
        if fault := self._fault():
            return await self._fail(fault, request)
        try:
            key, record_id = _read_call(request, body)
        except InvalidError as error:
            return _answer(400, error.message)
        if answer := self._script(record_id):
            return await self._play(answer, key, record_id, request)
        if self._bucket and not self._bucket.take(self._loop.time()):
            return _answer(429, "too many calls", {"Retry-After": self._bucket.retry_after()})
        if self._happens(self.settings.hang_rate):
            return await self._fail("hang", request)
        done: asyncio.Future[str] = self._loop.create_future()
        if not self._workers.begin(partial(self._finish, done, key, record_id)):
            return _answer(503, "all workers are busy and the queue is full")
        outcome = await done
        if outcome == LOST:
            return LOST, _drop(request)
        if outcome == "500":
            return _answer(500, "internal error")
        return outcome, web.Response(text=SUCCESS, content_type="application/json")

    def _finish(self, done: asyncio.Future[str], key: str, record_id: str) -> None:
        """End the work on a call, whether or not its client still waits for the answer."""
        if self._happens(self.settings.error_rate):
            outcome = "500"
        else:
            self.ledger.accept(key, record_id)
            outcome = LOST if self._happens(self.settings.lost_reply_rate) else "200"
        if not done.done():
            done.set_result(outcome)

    def _fault(self) -> str | None:
        now = self._loop.time()
        outage, brown_out = self.settings.outage, self.settings.brown_out
        if outage and now - self._outage_since < (outage.for_s or math.inf):
            return outage.fault
        if brown_out:
            phase = (now - self._brown_out_since) % brown_out.every_s
            if phase >= brown_out.every_s - brown_out.for_s:
                return brown_out.fault
        return None

    async def _fail(self, fault: str, request: web.BaseRequest) -> Ended:
        if fault == "hang":
            await asyncio.sleep(self.settings.hang_s)
            return HUNG, _drop(request)
        if fault in ("refuse", "reset"):
            return RESET, _drop(request)
        return _answer(int(fault), "out of order")

    def _script(self, record_id: str) -> Answer | None:
        """Return the scripted answer if it is for this record and not yet used up."""
        answer = self.settings.answer
        if answer is None or self._answers_left < 1:
            return None
        if answer.only_ids and record_id not in answer.only_ids:
            return None
        self._answers_left -= 1
        return answer

    async def _play(
        self, answer: Answer, key: str, record_id: str, request: web.BaseRequest
    ) -> Ended:
        if answer.accepts:
            self.ledger.accept(key, record_id)
        if answer.reset:
            return RESET, _drop(request)
        headers = {"Content-Type": answer.content_type, **(answer.headers or {})}
        body = answer.body.encode()
        if not answer.drip_s:
            response = web.Response(status=answer.status, body=body, headers=headers)
            return str(answer.status), response
        dripping = web.StreamResponse(status=answer.status, headers=headers)
        dripping.content_length = len(body)
        await dripping.prepare(request)
        for byte in body:
            await dripping.write(bytes([byte]))
            await asyncio.sleep(answer.drip_s)
        return str(answer.status), dripping

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def _restart(self, names: frozenset[str]) -> None:
        now = self._loop.time()
        if "seed" in names:
            self._random.seed(self.settings.seed)
        if "outage" in names:
            self._outage_since = now
        if "brown_out" in names:
            self._brown_out_since = now
        if "rate_limit" in names:
            limit = self.settings.rate_limit
            self._bucket = TokenBucket(limit, now) if limit else None
        if "answer" in names:
            answer = self.settings.answer
            self._answers_left = (answer and answer.times) or math.inf


def _read_call(request: web.BaseRequest, body: bytes) -> tuple[str, str]:
    """Return the key and the id of the record.

    Raises:
        InvalidError: with what is wrong with the call.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not _WORD.fullmatch(key):
        raise InvalidError("the header Idempotency-Key is missing or not one word")
    record = load_json(body)
    record_id = record.get("id") if isinstance(record, dict) else None
    if not isinstance(record_id, str) or not _WORD.fullmatch(record_id):
        raise InvalidError("the body must be an object with an id of one word")
    return key, record_id


def _answer(status: int, message: str, headers: dict[str, str] | None = None) -> Ended:
    text = json.dumps({"message": message})
    response = web.Response(
        status=status, text=text, content_type="application/json", headers=headers
    )
    return str(status), response


def _drop(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection; the response that is returned goes nowhere."""
    reset(request.transport)
    return web.Response()


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection at once with a TCP reset; one that is gone already is left alone."""
    if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT
        )
        transport.abort()
