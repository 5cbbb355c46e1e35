"""Measure the CPU of rejecting an invalid request, beside accepting a valid one.

An invalid request should cost no more than a valid one. The peer of each row is an accepted
request, of the same size where one exists: no valid punch has 64 KB, so that row exceeds its peer.
Both are measured in turns.
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

import app
from bench.engines import engines, service_on
from bench.intake import make_body, make_event
from chalicelib.principal import Role
from local.tokens import make_token

_ROUNDS = 7
_CALLS = 60
_KEY = "the key of a bench, of 32 bytes or more"
_AUTHORIZATION = f"Bearer {make_token(_KEY, Role.INTEGRATION)}"
_MANY = 100
_TERMS = 400
_numbers = itertools.count(1)

Make = Callable[[], dict[str, Any]]
"""Makes the event of a request; no two are equal."""


def main() -> None:
    """Measure and print."""
    table = Table("request", "µs CPU, rejected", "µs CPU, accepted", "ratio")
    with (
        engines() as stores,
        service_on(stores, JWT_KEY=_KEY, DATABASE_URL=stores.database_url),
    ):
        for accepted, cases in _CASES:
            cpu_us: dict[str, list[float]] = {name: [] for name in cases}
            peers: list[float] = []
            for _ in range(_ROUNDS):
                for name, rejected in cases.items():
                    cpu_us[name].append(_us(rejected, are_accepted=False))
                peers.append(_us(accepted, are_accepted=True))
            peer = statistics.median(peers)
            for name, each in cpu_us.items():
                own = statistics.median(each)
                table.add_row(name, f"{own:,.0f}", f"{peer:,.0f}", f"{own / peer:.3f}")
    Console().print(table)


def _us(make: Make, *, are_accepted: bool) -> float:
    """Return the CPU of one request in this process, in µs."""
    events = [make() for _ in range(_CALLS)]
    started = time.process_time()
    responses = [app.app(event, None) for event in events]
    cpu_s = time.process_time() - started
    assert all(_is_accepted(each) == are_accepted for each in responses), responses[0]
    return cpu_s / _CALLS * 1e6


def _is_accepted(response: dict[str, Any]) -> bool:
    """Return whether a request was accepted; for an array of punches, whether all were."""
    if response["statusCode"] != 207:
        return bool(response["statusCode"] < 400)
    return all(each["status"] < 400 for each in json.loads(response["body"]))


def _post(make: Callable[[], bytes]) -> Make:
    def event() -> dict[str, Any]:
        request = make_event(make())
        request["headers"]["authorization"] = _AUTHORIZATION
        return request

    return event


def _query(condition: Callable[[], str]) -> Make:
    def event() -> dict[str, Any]:
        request = make_event(b"")
        request["requestContext"] |= {"httpMethod": "GET", "resourcePath": "/odata/{resource}"}
        request["headers"] = {"authorization": _AUTHORIZATION, "host": "localhost"}
        request["pathParameters"] = {"resource": "PointRecords"}
        request["multiValueQueryStringParameters"] = {"$filter": [condition()], "$top": ["1"]}
        return request

    return event


def _changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(make_body()), **fields}).encode()


def _array(**fields: Any) -> bytes:
    return b"[" + b",".join(_changed(**fields) for _ in range(_MANY)) + b"]"


def _unknown(many: int) -> dict[str, int]:
    return {f"x{number}": 1 for number in range(many)}


def _terms(last: str) -> str:
    """Return a filter of many terms that ends with ``last``; no two are equal."""
    terms = [f"employeeId eq {next(_numbers)}" for _ in range(_TERMS)]
    return " or ".join([*terms, last])


# Each accepted request with the rejected ones whose peer it is.
_CASES: list[tuple[Make, dict[str, Make]]] = [
    (
        _post(make_body),
        {
            "a truncated punch": _post(lambda: make_body()[:-1]),
            "a punch with an invalid field": _post(lambda: _changed(employeeId=0)),
            "16 KB of unknown fields": _post(lambda: _changed(**_unknown(1_350))),
            "64 KB of unknown fields": _post(lambda: _changed(**_unknown(5_500))),
        },
    ),
    (
        _post(lambda: _array(deviceId="☎" * 75)),  # 64 KB
        {
            "64 KB of brackets": _post(lambda: b"[" * 65_000),
            "64 KB of zeros": _post(lambda: b"[" + b"0," * 32_000 + b"0]"),
            "64 KB of empty objects": _post(lambda: b"[" + b"{}," * 21_000 + b"{}]"),
            "64 KB of unknown fields, in an array": _post(
                lambda: b"[" + _changed(**_unknown(5_500)) + b"]"
            ),
            "a hundred invalid punches": _post(
                lambda: _array(employeeId=0, employerId="x", latitude=91)
            ),
        },
    ),
    (
        _query(lambda: _terms("employerId eq 1")),
        {"a filter of 1,600 tokens, invalid at its end": _query(lambda: _terms("colour eq 1"))},
    ),
]

if __name__ == "__main__":
    main()
