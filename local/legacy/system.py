"""Handle one call to the simulated legacy: a fault or work, acceptance, the response.

A call waits for a thread of its connection. It then passes these checks in order, and the first
that applies decides: outage, brown-out, scripted response, rate limit, refused record, conflict,
hang, workers, error, lost response.

Invariant: a record is accepted in the ledger before the response reports success.
"""

import asyncio
import hashlib
import json
import math
import re
import socket
import struct
from collections import Counter
from functools import partial
from random import Random

from aiohttp import web

from chalicelib.errors import InvalidError
from chalicelib.strict_json import load_json
from local.legacy.capacity import TokenBucket, Workers
from local.legacy.clock import http_date, retry_after
from local.legacy.ledger import Ledger
from local.legacy.settings import (
    SUCCESS,
    LegacySettings,
    Outage,
    RateLimit,
    ScriptedResponse,
    change,
)
from local.legacy.threads import Connection, ConnectionThreads

# A word that fits into a line of the journal.
_WORD = re.compile(r"[\x21-\x7e]{1,200}")

# How a call ended without a status. GONE: the client disconnected first.
HUNG, RESET, LOST, GONE = "hung", "reset", "lost", "gone"

# Settings with a state that restarts whenever a change names them.
_STATEFUL = frozenset(
    {"seed", "outage", "brown_out", "rate_limit", "answer", "thread_per_connection"}
)

# Linger for 0 s: closing the socket resets the connection (socket(7)).
_NO_LINGER = struct.pack("ii", 1, 0)

# The outcome for the ledger, and the response.
Handled = tuple[str, web.StreamResponse]


class LegacySystem:
    """The system behind the HTTP server. It runs in one event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.settings = LegacySettings()
        self._loop = asyncio.get_running_loop()
        self._random = Random()
        self._workers = Workers(self.settings, self._random)
        self.threads = ConnectionThreads(None)
        self._keys_in_progress: Counter[str] = Counter()
        self._restart(_STATEFUL)

    def change(self, body: object) -> None:
        """Change settings; restart each fault, rate limit or seed that ``body`` names.

        Raises:
            InvalidError: a setting is invalid; nothing was changed.
        """
        self.settings = change(self.settings, body)
        self._workers.change(self.settings)
        self._restart(_STATEFUL.intersection(body if isinstance(body, dict) else ()))

    def reset(self) -> None:
        """Forget all records and counts, and restart every fault; keep the settings."""
        self.ledger.reset()
        self._restart(_STATEFUL)

    async def point_record(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle one ``POST /point-records``."""
        self.ledger.begin()
        outcome = GONE
        try:
            await self.threads.bind(request.protocol)
            outcome, response = await self._handle(request)
            self._set_date(response)
            self.threads.rest(request.protocol, response)
            return response
        finally:
            self.ledger.end(outcome)

    async def _handle(self, request: web.BaseRequest) -> Handled:
        body = await request.read()
        if fault := self._fault():
            return await self._fail(request, *fault)
        try:
            key, record_id = _read_call(request, body)
        except InvalidError as error:
            return _respond(400, error.message)
        if scripted := self._scripted_response(record_id):
            return await self._respond_as_scripted(scripted, key, record_id, request)
        limit = self.settings.rate_limit
        if limit and self._bucket and not self._bucket.take(self._loop.time()):
            return _respond(429, "too many calls", self._retry_after(limit))
        if _position(record_id) < self.settings.refused_share:
            return _respond(422, "the record is refused")
        if self.settings.conflict_in_progress and self._keys_in_progress[key]:
            return _respond(409, "the first call of this key is still in progress")
        if self._happens(self.settings.hang_rate):
            return await self._fail(request, "hang")
        done: asyncio.Future[str] = self._loop.create_future()
        finish = partial(self._finish, done, key, record_id, request.protocol)
        if not self._workers.begin(finish):
            return _respond(503, "all workers are busy and the queue is full")
        self._keys_in_progress[key] += 1
        self.threads.begin_work(request.protocol)
        outcome = await done
        if outcome == LOST:
            return LOST, _drop(request)
        if outcome == "500":
            return _respond(500, "internal error")
        return outcome, web.Response(text=SUCCESS, content_type="application/json")

    def _finish(
        self, done: asyncio.Future[str], key: str, record_id: str, connection: Connection
    ) -> None:
        """End the work on a call, whether or not its client still waits for the response."""
        self._keys_in_progress[key] -= 1
        if not self._keys_in_progress[key]:
            del self._keys_in_progress[key]
        self.threads.end_work(connection, is_gone=done.cancelled())
        if self._happens(self.settings.error_rate):
            outcome = "500"
        else:
            self.ledger.accept(key, record_id)
            outcome = LOST if self._happens(self.settings.lost_reply_rate) else "200"
        if not done.done():
            done.set_result(outcome)

    def _fault(self) -> tuple[str, dict[str, str]] | None:
        """Return the fault of an outage or a brown-out, and the headers of its response."""
        now = self._loop.time()
        outage, brown_out = self.settings.outage, self.settings.brown_out
        if outage and now - self._outage_since < (outage.for_s or math.inf):
            return outage.fault, self._retry_after(outage)
        if brown_out:
            phase = (now - self._brown_out_since) % brown_out.every_s
            if phase >= brown_out.every_s - brown_out.for_s:
                return brown_out.fault, {}
        return None

    def _set_date(self, response: web.StreamResponse) -> None:
        if self.settings.clock_ahead_s and not response.prepared:
            response.headers.setdefault("Date", http_date(self.settings.clock_ahead_s))

    def _retry_after(self, cause: Outage | RateLimit) -> dict[str, str]:
        if cause.retry_after_s is None:
            return {}
        value = retry_after(cause.retry_after_s, cause.retry_after, self.settings.clock_ahead_s)
        return {"Retry-After": value}

    async def _fail(
        self, request: web.BaseRequest, fault: str, headers: dict[str, str] | None = None
    ) -> Handled:
        if fault == "hang":
            await asyncio.sleep(self.settings.hang_s)
            return HUNG, _drop(request)
        if fault in ("refuse", "reset"):
            return RESET, _drop(request)
        return _respond(int(fault), "out of order", headers)

    def _scripted_response(self, record_id: str) -> ScriptedResponse | None:
        """Return the scripted response if it applies to this record and is not used up."""
        scripted = self.settings.answer
        if scripted is None or self._scripted_left < 1:
            return None
        if scripted.only_ids and record_id not in scripted.only_ids:
            return None
        self._scripted_left -= 1
        return scripted

    async def _respond_as_scripted(
        self, scripted: ScriptedResponse, key: str, record_id: str, request: web.BaseRequest
    ) -> Handled:
        if scripted.accepts:
            self.ledger.accept(key, record_id)
        if scripted.reset:
            return RESET, _drop(request)
        headers = {"Content-Type": scripted.content_type, **(scripted.headers or {})}
        body = scripted.body.encode()
        if not scripted.drip_s:
            response = web.Response(status=scripted.status, body=body, headers=headers)
            return str(scripted.status), response
        dripping = web.StreamResponse(status=scripted.status, headers=headers)
        dripping.content_length = len(body)
        self._set_date(dripping)
        await dripping.prepare(request)
        for byte in body:
            await dripping.write(bytes([byte]))
            await asyncio.sleep(scripted.drip_s)
        return str(scripted.status), dripping

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
        if "thread_per_connection" in names:
            self.threads.restart(self.settings.thread_per_connection)
        if "answer" in names:
            scripted = self.settings.answer
            self._scripted_left = (scripted and scripted.times) or math.inf


def _position(record_id: str) -> float:
    """Return a number from 0 to 1 that is always the same for the same record."""
    return int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8]) / 2**64


def _read_call(request: web.BaseRequest, body: bytes) -> tuple[str, str]:
    """Return the idempotency key and the id of the record.

    Raises:
        InvalidError: the key or the body is invalid.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not _WORD.fullmatch(key):
        raise InvalidError("the header Idempotency-Key must be one word")
    record = load_json(body)
    record_id = record.get("id") if isinstance(record, dict) else None
    if not isinstance(record_id, str) or not _WORD.fullmatch(record_id):
        raise InvalidError("the body must be an object with an id of one word")
    return key, record_id


def _respond(status: int, message: str, headers: dict[str, str] | None = None) -> Handled:
    text = json.dumps({"message": message})
    response = web.Response(
        status=status, text=text, content_type="application/json", headers=headers
    )
    return str(status), response


def _drop(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection; the returned response is never sent."""
    reset_connection(request.transport)
    return web.Response()


def reset_connection(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection with a TCP reset; a no-op if it is closed already."""
    if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER
        )
        transport.abort()
