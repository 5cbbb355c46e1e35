"""What it costs to refuse an invalid request, beside accepting a valid one.

Whoever sends what is wrong must not have the service work more than whoever sends what is right:
each row has for its peer a request that is accepted, of the same size where there is one, in turns
with it.
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
"""Makes the event of a request, each time another."""


def main() -> None:
    """Measure and print."""
    table = Table("a request", "us CPU, refused", "us CPU, accepted", "ratio")
    with engines() as found, service_on(found, JWT_KEY=_KEY, DATABASE_URL=found.database_url):
        for accepted, cases in _CASES:
            took: dict[str, list[float]] = {name: [] for name in cases}
            peers: list[float] = []
            for _ in range(_ROUNDS):
                for name, refused in cases.items():
                    took[name].append(_us(refused, are_accepted=False))
                peers.append(_us(accepted, are_accepted=True))
            peer = statistics.median(peers)
            for name, each in took.items():
                mine = statistics.median(each)
                table.add_row(name, f"{mine:,.0f}", f"{peer:,.0f}", f"{mine / peer:.3f}")
    Console().print(table)


def _us(make: Make, *, are_accepted: bool) -> float:
    """Return the CPU that one request costs this process."""
    events = [make() for _ in range(_CALLS)]
    started = time.process_time()
    answers = [app.app(event, None) for event in events]
    took = time.process_time() - started
    assert all(_is_accepted(each) == are_accepted for each in answers), answers[0]
    return took / _CALLS * 1e6


def _is_accepted(answer: dict[str, Any]) -> bool:
    """Say whether a request was answered well; one of several punches, whether each was."""
    if answer["statusCode"] != 207:
        return bool(answer["statusCode"] < 400)
    return all(each["status"] < 400 for each in json.loads(answer["body"]))


def _posting(make: Callable[[], bytes]) -> Make:
    def event() -> dict[str, Any]:
        found = make_event(make())
        found["headers"]["authorization"] = _AUTHORIZATION
        return found

    return event


def _asking(condition: Callable[[], str]) -> Make:
    def event() -> dict[str, Any]:
        found = make_event(b"")
        found["requestContext"] |= {"httpMethod": "GET", "resourcePath": "/odata/{resource}"}
        found["headers"] = {"authorization": _AUTHORIZATION, "host": "localhost"}
        found["pathParameters"] = {"resource": "PointRecords"}
        found["multiValueQueryStringParameters"] = {"$filter": [condition()], "$top": ["1"]}
        return found

    return event


def _changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(make_body()), **fields}).encode()


def _several(**fields: Any) -> bytes:
    return b"[" + b",".join(_changed(**fields) for _ in range(_MANY)) + b"]"


def _unknown(many: int) -> dict[str, int]:
    return {f"x{number}": 1 for number in range(many)}


def _terms(last: str) -> str:
    """Return a condition of many terms, of which only the last may be wrong; no two are alike."""
    terms = [f"employeeId eq {next(_numbers)}" for _ in range(_TERMS)]
    return " or ".join([*terms, last])


# Each accepted request, and the refused ones whose peer it is.
_CASES: list[tuple[Make, dict[str, Make]]] = [
    (
        _posting(make_body),
        {
            "a punch that is cut off": _posting(lambda: make_body()[:-1]),
            "a punch with a wrong field": _posting(lambda: _changed(employeeId=0)),
            "16 KB of unknown fields": _posting(lambda: _changed(**_unknown(1_350))),
            "64 KB of unknown fields": _posting(lambda: _changed(**_unknown(5_500))),
        },
    ),
    (
        _posting(lambda: _several(deviceId="☎" * 75)),  # 64 KB
        {
            "64 KB of brackets": _posting(lambda: b"[" * 65_000),
            "64 KB of zeros": _posting(lambda: b"[" + b"0," * 32_000 + b"0]"),
            "64 KB of empty objects": _posting(lambda: b"[" + b"{}," * 21_000 + b"{}]"),
            "64 KB of unknown fields, in an array": _posting(
                lambda: b"[" + _changed(**_unknown(5_500)) + b"]"
            ),
            "a hundred punches, all wrong": _posting(
                lambda: _several(employeeId=0, employerId="x", latitude=91)
            ),
        },
    ),
    (
        _asking(lambda: _terms("employerId eq 1")),
        {"a filter of 1,600 tokens, wrong at its end": _asking(lambda: _terms("colour eq 1"))},
    ),
]

if __name__ == "__main__":
    main()
