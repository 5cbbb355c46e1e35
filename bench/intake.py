"""Measure a POST: CPU of this process per call, and of its parts.

The peer is a bare ``put_item`` of an item of the same size. The endpoint runs in another process
and is not counted.
"""

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

import app
from bench.engines import TABLE, engines, service_on
from bench.punches import punch
from chalicelib import container
from chalicelib.instant import to_text
from chalicelib.point_record import parse, to_json
from chalicelib.principal import Principal, Role
from chalicelib.strict_json import load_json
from local.tokens import make_token

_CALLS = 300
_KEY = "the signing key of a benchmark, 32 bytes or more"
_AUTHORIZATION = {"authorization": f"Bearer {make_token(_KEY, Role.INTEGRATION)}"}
_ROUNDS = 5
_INTEGRATION = Principal(Role.INTEGRATION)


def main() -> None:
    """Measure and print."""
    costs: dict[str, list[float]] = {"a POST": [], "  intake": [], "    parsing": []}
    bare: list[float] = []
    with engines() as stores, service_on(stores, JWT_KEY=_KEY):

        def post(body: bytes) -> None:
            answer = app.app(make_event(body), None)
            assert answer["statusCode"] == 201, answer

        def accept(body: bytes) -> None:
            container.intake().accept(body, _INTEGRATION)

        def read(body: bytes) -> None:
            parse(load_json(body), datetime.now(UTC), 60)

        def put(item: dict[str, dict[str, str]]) -> None:
            stores.dynamodb.put_item(TableName=TABLE, Item=item)

        for _ in range(_ROUNDS):
            for cost, call in zip(costs.values(), (post, accept, read), strict=True):
                cost.append(_cost_ms(call, [make_body() for _ in range(_CALLS)]))
            bare.append(_cost_ms(put, [_item() for _ in range(_CALLS)]))

    costs["a bare put_item"] = bare
    put_ms = statistics.median(bare)
    table = Table("CPU of this process", "ms a call, median", "bare put_items")
    for name, rounds in costs.items():
        call_ms = statistics.median(rounds)
        table.add_row(name, f"{call_ms:.2f}", f"{call_ms / put_ms:.2f}")
    Console().print(table)


def make_event(body: bytes) -> dict[str, Any]:
    """Return API Gateway's event for a POST."""
    return {
        "requestContext": {
            "httpMethod": "POST",
            "resourcePath": "/point-record",
            "path": "/point-record",
        },
        "headers": {"content-type": "application/json", "host": "localhost", **_AUTHORIZATION},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": body.decode(),
    }


def _item() -> dict[str, dict[str, str]]:
    record = punch()
    return {"id": {"S": str(record.id)}, "record": {"S": json.dumps(to_json(record))}}


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


def _cost_ms(call: Callable[[Any], None], arguments: list[Any]) -> float:
    started = time.process_time()
    for argument in arguments:
        call(argument)
    return (time.process_time() - started) / len(arguments) * 1000
