"""An HTTP proxy in front of a DynamoDB endpoint, which injects faults.

The proxy forwards every call, except those for which a test has set a fault. A fault takes the call
and returns the response to the client. It may forward the call, or a part of it, any number of
times. The faults are those that DynamoDB documents, and those of networks:
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
from tests.support.http_server import serving

Item = dict[str, Any]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class NoResponseError(Exception):
    """Raised by a fault: the connection to the client is reset without a response."""


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/x-amz-json-1.0"

    @classmethod
    def of(cls, status: int, **fields: Any) -> "Response":
        return cls(status, json.dumps(fields).encode())

    @property
    def fields(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Call:
    """A call of a client.

    Attributes:
        operation: the operation of DynamoDB, such as ``PutItem``.
        request: the decoded body.
        forward: sends a request of the same operation to the endpoint.
        paging: the state of the proxy's scans.
    """

    operation: str
    request: dict[str, Any]
    forward: Callable[[dict[str, Any]], Response]
    paging: "Paging"

    def forward_unchanged(self) -> Response:
        return self.forward(self.request)


Fault = Callable[[Call], Response]


@dataclass
class Paging:
    """The state of scans: keys that the proxy made up, and the first page of each segment.

    Attributes:
        start_keys: the real start key behind each made-up key; None is the start of the segment.
        first_pages: the first page with items that each segment returned.
    """

    start_keys: dict[str, Item | None] = field(default_factory=dict)
    first_pages: dict[int, list[Item]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def resolve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Replace a made-up start key by the real one."""
        key = request.get("ExclusiveStartKey")
        if key is None or key["id"]["S"] not in self.start_keys:
            return request
        start = self.start_keys[key["id"]["S"]]
        return {**request, "ExclusiveStartKey": start} if start else _without_start(request)

    def page(self, request: dict[str, Any], items: list[Item]) -> Response:
        """Return a page of these items, whose next page is the page that was requested."""
        key = f"made-up key {next(self._numbers)}"
        self.start_keys[key] = request.get("ExclusiveStartKey")
        fields = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        return Response.of(200, **fields, LastEvaluatedKey={"id": {"S": key}})

    def remember_first_page(self, request: dict[str, Any], response: Response) -> None:
        if response.status == 200 and (items := response.fields.get("Items")):
            self.first_pages.setdefault(request.get("Segment", 0), items)


def fails_with(status: int, kind: str) -> Fault:
    """Respond with an error of this type, without forwarding the call."""
    error = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "No."}

    def fault(call: Call) -> Response:
        return Response.of(status, **error)

    fault.__name__ = kind
    return fault


def pass_through(call: Call) -> Response:
    """Forward the call: a script may need this between two faults."""
    return call.forward_unchanged()


def reset_before(call: Call) -> Response:
    """Reset the connection without forwarding the call."""
    raise NoResponseError


def reset_after(call: Call) -> Response:
    """Forward the call, then reset the connection: the response is lost."""
    call.forward_unchanged()
    raise NoResponseError


def captive_portal(call: Call) -> Response:
    """Respond 200 with HTML, as a captive portal does, without forwarding the call."""
    return Response(200, b"<html>Sign in to this network</html>", "text/html")


def slow(seconds: float) -> Fault:
    """Forward the call after this delay."""

    def fault(call: Call) -> Response:
        threading.Event().wait(seconds)
        return call.forward_unchanged()

    fault.__name__ = f"slow {seconds}"
    return fault


def unprocessed(every: int) -> Fault:
    """Leave the first of every ``every`` requests of a batch unprocessed; forward the others."""

    def fault(call: Call) -> Response:
        ((table, requests),) = call.request["RequestItems"].items()
        skipped = requests[::every]
        forwarded = [each for each in requests if each not in skipped]
        if forwarded:
            call.forward({**call.request, "RequestItems": {table: forwarded}})
        return Response.of(200, UnprocessedItems={table: skipped})

    fault.__name__ = f"unprocessed 1/{every}"
    return fault


def empty_page(call: Call) -> Response:
    """Return a page without items that is not the last page."""
    return call.paging.page(call.request, [])


def stale_page(call: Call) -> Response:
    """Return the first page of this segment again."""
    return call.paging.page(call.request, call.paging.first_pages[call.request["Segment"]])


THROTTLED = fails_with(400, "ProvisionedThroughputExceededException")
THROTTLED_TABLE = fails_with(400, "ThrottlingException")
REQUEST_LIMIT = fails_with(400, "RequestLimitExceeded")
INTERNAL_ERROR = fails_with(500, "InternalServerError")
SERVICE_UNAVAILABLE = fails_with(503, "ServiceUnavailable")


class DynamoDBProxy:
    """Controls the proxy.

    Attributes:
        url: the URL of the proxy.
        calls: the number of calls of each operation.
        requests: the operation and the body of every call.
        paging: the state of the proxy's scans.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.paging = Paging()
        self._scripted: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._permanent: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def script(self, operation: str, *faults: Fault) -> None:
        """Inject these faults into the next calls of an operation, one each."""
        self._scripted[operation].extend(faults)

    def always(self, operation: str, fault: Fault) -> None:
        """Inject this fault into every call of an operation after its scripted faults."""
        self._permanent[operation] = fault

    def repair(self) -> None:
        """Forward every call from now on."""
        self._scripted.clear()
        self._permanent.clear()

    def next_fault(self, operation: str) -> Fault:
        """Count a call, and return the fault to inject into it."""
        with self._lock:
            self.calls[operation] += 1
            if self._scripted[operation]:
                return self._scripted[operation].popleft()
            return self._permanent.get(operation, pass_through)


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
            proxy.requests.append((operation, json.loads(body)))
            request = proxy.paging.resolve(json.loads(body))
            # A scan that only counts gets no fault that is meant for a scan of items.
            name = "Count" if request.get("Select") == "COUNT" else operation
            try:
                response = proxy.next_fault(name)(
                    Call(operation, request, self._forward, proxy.paging)
                )
            except NoResponseError:
                self._reset()
                return
            self.send_response(response.status)
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        def _forward(self, request: dict[str, Any]) -> Response:
            with closing(HTTPConnection(target, timeout=10)) as connection:
                headers = {
                    name: self.headers[name]
                    for name in ("X-Amz-Target", "X-Amz-Date", "Content-Type", "Authorization")
                }
                connection.request("POST", "/", json.dumps(request).encode(), headers)
                upstream = connection.getresponse()
                response = Response(upstream.status, upstream.read())
            if "Segment" in request:
                proxy.paging.remember_first_page(request, response)
            return response

        def _reset(self) -> None:
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, _RESET_ON_CLOSE)
            os.close(self.connection.detach())
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    proxy = DynamoDBProxy(f"http://{HOST}:{server.server_address[1]}")
    with serving(server):
        yield proxy


def _without_start(request: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in request.items() if name != "ExclusiveStartKey"}
