"""Measure a POST: CPU of this process per call, and of its parts; and a cold start, by module.

The peer is a bare ``put_item`` of boto3, of an item of the same size. The endpoint runs in another
process, answers at once and is not counted. The parts are measured one by one, each in a loop: they
add up to less than a POST, in which the caches are cold after each wait for the endpoint.
"""

import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import app
from bench import cold_start
from bench.instant_http import running
from bench.punches import punch
from chalicelib import container
from chalicelib.dynamodb import aws_environment
from chalicelib.dynamodb.kept_connections import KeptConnections
from chalicelib.dynamodb.signature import Signer
from chalicelib.instant import to_text
from chalicelib.intake import Accepted
from chalicelib.point_record import parse, to_json
from chalicelib.principal import Principal, Role
from chalicelib.strict_json import load_json
from chalicelib.telemetry import ACCEPTED, event
from local.dynamodb import server as dynamodb_server
from local.tokens import make_token

_CALLS = 200
_TABLE = "point_record"
_KEY = "the signing key of a benchmark, 32 bytes or more"
_TOKEN = f"Bearer {make_token(_KEY, Role.INTEGRATION)}"
_ROUNDS = 9
_INTEGRATION = Principal(Role.INTEGRATION)

Call = Callable[[Any], object]


def main() -> None:
    """Measure and print."""
    with running("bench.instant_dynamodb") as url, _service_on(url):
        parts = _parts(dynamodb_server.connect(url))
        costs: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(_ROUNDS):
            for name, (make, call) in parts.items():
                arguments = [make() for _ in range(_CALLS)]
                started = time.process_time()
                for argument in arguments:
                    call(argument)
                costs[name].append((time.process_time() - started) / _CALLS * 1e6)
    # The rounds are in turns: each ratio is of neighbours in time.
    peers = costs[_PEER]
    table = Table("CPU of this process", "us a call, median", "bare put_items, median of rounds")
    for name, rounds in costs.items():
        ratio = statistics.median(a / b for a, b in zip(rounds, peers, strict=True))
        table.add_row(name, f"{statistics.median(rounds):.0f}", f"{ratio:.2f}")
    Console().print(table)
    cold_start.main()


_PEER = "a bare put_item of boto3"


def _parts(boto3_client: Any) -> dict[str, tuple[Callable[[], Any], Call]]:
    """Return what to measure: for each name, a maker of arguments, and the call."""
    environment = aws_environment.read(os.environ)
    assert environment is not None, "the environment needs boto3: unset its AWS variables"
    signer = Signer(environment.credentials, environment.region, "dynamodb")
    pool = KeptConnections(environment.server, connect_timeout_s=2, response_timeout_s=5)
    host = aws_environment.host_header(environment.server)
    buffer = container.buffer()

    def post(event: dict[str, Any]) -> None:
        answer = app.app(event, None)
        assert answer["statusCode"] == 201, answer

    def post_without_steps(event: dict[str, Any]) -> None:
        with _stubbed():
            post(event)

    def send(request: bytes) -> None:
        assert pool.send(request).status == 200

    def sign(body: bytes) -> dict[str, str]:
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": host,
            "x-amz-target": "DynamoDB_20120810.PutItem",
        }
        return signer.sign(headers, body, time.time())

    def make_request() -> bytes:
        body = _put_body()
        lines = "".join(f"{name}: {value}\r\n" for name, value in sign(body).items())
        return f"POST / HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body

    def authenticate(authorizations: list[str]) -> object:
        return container.authenticate(authorizations, "/point-record")

    return {
        "a POST with a known token": (lambda: make_event(make_body()), post),
        "a POST with a new token": (lambda: make_event(make_body(), _new_token()), post),
        "  framework": (lambda: make_event(make_body()), post_without_steps),
        "  a known token": (lambda: [_TOKEN], authenticate),
        "  a new token": (lambda: [_new_token()], authenticate),
        "  parsing": (make_body, lambda body: parse(load_json(body), datetime.now(UTC), 60)),
        "  put": (punch, buffer.put),
        "    signing": (_put_body, sign),
        "    HTTP": (make_request, send),
        "  log line": (punch, _log),
        _PEER: (_item, lambda item: boto3_client.put_item(TableName=_TABLE, Item=item)),
    }


@contextmanager
def _stubbed() -> Iterator[None]:
    """Let a POST accept one constant record, without token, parsing and put."""
    accepted = Accepted(_RECORD, created=True)

    class Stub:
        def authenticate(self, *_: object, **__: object) -> Principal:
            return _INTEGRATION

        def accept(self, *_: object) -> Accepted:
            return accepted

    stub: Any = Stub()
    originals = {"authenticator": container.authenticator, "intake": container.intake}
    vars(container).update(dict.fromkeys(originals, lambda: stub))
    try:
        yield
    finally:
        vars(container).update(originals)


_RECORD = punch()


def _log(record: Any) -> None:
    event(ACCEPTED, id=str(record.id), created=True, accepted=1, put_ms=1.0)


_subjects = itertools.count()


def _new_token() -> str:
    """Return the value of an Authorization header with a token that was never sent."""
    token = make_token(_KEY, Role.INTEGRATION, subject=str(next(_subjects)))
    return f"Bearer {token}"


@contextmanager
def _service_on(url: str) -> Iterator[None]:
    """Connect the service in this process to the endpoint, and discard its log."""
    os.environ |= dynamodb_server.CREDENTIALS | {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "POINT_RECORD_TABLE": _TABLE,
        "JWT_KEY": _KEY,
    }
    with Path(os.devnull).open("w") as log:
        with redirect_stdout(log):
            container.settings()  # configures logging
        yield


def make_event(body: bytes, authorization: str = "") -> dict[str, Any]:
    """Return API Gateway's event for a POST."""
    return {
        "requestContext": {
            "httpMethod": "POST",
            "resourcePath": "/point-record",
            "path": "/point-record",
        },
        "headers": {"content-type": "application/json", "host": "localhost"}
        | {"authorization": authorization or _TOKEN},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": body.decode(),
    }


def _item() -> dict[str, dict[str, str]]:
    record = punch()
    return {"id": {"S": str(record.id)}, "record": {"S": json.dumps(to_json(record))}}


def _put_body() -> bytes:
    return json.dumps({"TableName": _TABLE, "Item": _item()}).encode()


def make_body() -> bytes:
    """Return the body of a unique punch."""
    record = punch()
    return json.dumps(
        {
            "employeeId": record.employee_id,
            "employerId": record.employer_id,
            "includedAt": to_text(record.included_at),
            "deviceId": record.device_id,
            "latitude": record.latitude,
            "longitude": record.longitude,
            "accuracyMeters": record.accuracy_meters,
        }
    ).encode()
