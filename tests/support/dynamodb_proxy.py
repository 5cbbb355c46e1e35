"""DynamoDB that fails as it is told: an HTTP server in front of an endpoint.

It passes every call on, but for those for which a test has set a fault. A fault is given the call
and returns what the client is answered; it may pass the call on, or a part of it, as often as it
likes. What fails so is what DynamoDB documents, and what networks do:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

import json
import os
import struct
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from socket import SO_LINGER, SOL_SOCKET
from typing import Any
from urllib.parse import urlsplit

from local.loopback import HOST

Item = dict[str, Any]
_LINGER_NOT = struct.pack("ii", 1, 0)  # closing resets


class NoAnswerError(Exception):
    """Raised by a fault: the client gets no answer, its connection is reset."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/x-amz-json-1.0"

    @classmethod
    def of(cls, status: int, **fields: Any) -> "Answer":
        return cls(status, json.dumps(fields).encode())

    @property
    def fields(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Call:
    """One call of a client. ``forward`` sends a request of its kind to the endpoint."""

    operation: str
    request: dict[str, Any]
    forward: Callable[[dict[str, Any]], Answer]
    paging: "Paging"

    def pass_on(self) -> Answer:
        return self.forward(self.request)


Fault = Callable[[Call], Answer]


@dataclass
class Paging:
    """Where scans stand: keys that stand for another place, and the first page of each segment."""

    places: dict[str, Item | None] = field(default_factory=dict)
    first_pages: dict[int, list[Item]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def resolve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Replace a key of ours by the place it stands for."""
        key = request.get("ExclusiveStartKey")
        if key is None or key["id"]["S"] not in self.places:
            return request
        place = self.places[key["id"]["S"]]
        return {**request, "ExclusiveStartKey": place} if place else _without_start(request)

    def page(self, request: dict[str, Any], items: list[Item]) -> Answer:
        """Answer these items, and a key that leads to where the request wanted to begin."""
        key = f"place {next(self._numbers)}"
        self.places[key] = request.get("ExclusiveStartKey")
        fields = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        return Answer.of(200, **fields, LastEvaluatedKey={"id": {"S": key}})

    def note(self, request: dict[str, Any], answer: Answer) -> None:
        if answer.status == 200 and (items := answer.fields["Items"]):
            self.first_pages.setdefault(request.get("Segment", 0), items)


def refused(status: int, kind: str) -> Fault:
    """The call is refused with an error of this type, and nothing is done."""
    error = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "No."}

    def fault(call: Call) -> Answer:
        return Answer.of(status, **error)

    fault.__name__ = kind
    return fault


def passed_on(call: Call) -> Answer:
    """No fault, for scripts that have one between two others."""
    return call.pass_on()


def reset_before(call: Call) -> Answer:
    """The connection is reset before the endpoint has the call."""
    raise NoAnswerError


def reset_after(call: Call) -> Answer:
    """The endpoint does what it was asked, and its answer is lost."""
    call.pass_on()
    raise NoAnswerError


def usurped(call: Call) -> Answer:
    """Something between answers, and says that all is well. The endpoint never has the call."""
    return Answer(200, b"<html>Sign in to this network</html>", "text/html")


def slow(seconds: float) -> Fault:
    """The answer takes its time."""

    def fault(call: Call) -> Answer:
        threading.Event().wait(seconds)
        return call.pass_on()

    fault.__name__ = f"slow {seconds}"
    return fault


def unprocessed(every: int) -> Fault:
    """One in ``every`` requests of a batch, the first of them, is left undone."""

    def fault(call: Call) -> Answer:
        ((table, requests),) = call.request["RequestItems"].items()
        left = requests[::every]
        done = [each for each in requests if each not in left]
        if done:
            call.forward({**call.request, "RequestItems": {table: done}})
        return Answer.of(200, UnprocessedItems={table: left})

    fault.__name__ = f"unprocessed 1/{every}"
    return fault


def empty_page(call: Call) -> Answer:
    """A page without items that isn't the last."""
    return call.paging.page(call.request, [])


def stale_page(call: Call) -> Answer:
    """The first page of this segment that was ever read, once more."""
    return call.paging.page(call.request, call.paging.first_pages[call.request["Segment"]])


THROTTLED = refused(400, "ProvisionedThroughputExceededException")
THROTTLED_TABLE = refused(400, "ThrottlingException")
LIMITED = refused(400, "RequestLimitExceeded")
BROKEN = refused(500, "InternalServerError")
AWAY = refused(503, "ServiceUnavailable")


class DynamoDBProxy:
    """What a test tells the server. ``calls`` counts the calls of each operation."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: Counter[str] = Counter()
        self.paging = Paging()
        self._next: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._ever: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def script(self, operation: str, *faults: Fault) -> None:
        """Let the next calls of an operation meet these faults, one each."""
        self._next[operation].extend(faults)

    def always(self, operation: str, fault: Fault) -> None:
        """Let every call of an operation, once its script is over, meet this fault."""
        self._ever[operation] = fault

    def repair(self) -> None:
        """Pass every call on from now on."""
        self._next.clear()
        self._ever.clear()

    def fault_of(self, operation: str) -> Fault:
        with self._lock:
            self.calls[operation] += 1
            if self._next[operation]:
                return self._next[operation].popleft()
            return self._ever.get(operation, passed_on)


@contextmanager
def running(endpoint: str) -> Iterator[DynamoDBProxy]:
    """Run a proxy in front of the endpoint of this URL."""
    target = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = proxy.paging.resolve(json.loads(body))
            try:
                answer = proxy.fault_of(operation)(
                    Call(operation, request, self._forward, proxy.paging)
                )
            except NoAnswerError:
                self._reset()
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def _forward(self, request: dict[str, Any]) -> Answer:
            with closing(HTTPConnection(target, timeout=10)) as connection:
                headers = {
                    name: self.headers[name]
                    for name in ("X-Amz-Target", "X-Amz-Date", "Content-Type", "Authorization")
                }
                connection.request("POST", "/", json.dumps(request).encode(), headers)
                found = connection.getresponse()
                answer = Answer(found.status, found.read())
            if "Segment" in request:
                proxy.paging.note(request, answer)
            return answer

        def _reset(self) -> None:
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_NOT)
            os.close(self.connection.detach())
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing of each call."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    proxy = DynamoDBProxy(f"http://{HOST}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _without_start(request: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in request.items() if name != "ExclusiveStartKey"}
