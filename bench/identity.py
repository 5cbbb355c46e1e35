"""Measure authentication: CPU of token validation by algorithm, of a rejected beside an accepted
POST, and the cost of row-level security beside the same query without it.

The peer of a rejected POST is an accepted one: invalid tokens must not cost more than valid ones.
Every valid token is new: repeated ones are known, and cost almost nothing.
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pg8000.native import Connection
from rich.console import Console
from rich.table import Table

import app
from bench.engines import engines, service_on
from bench.intake import make_body, make_event
from bench.punches import random_id
from chalicelib.errors import PunchClockError
from chalicelib.identity.authenticator import Authenticator, SharedKey, TokenRequirements
from chalicelib.identity.issuer_keys import IssuerKeys
from chalicelib.identity.token_claims import ClaimNames
from chalicelib.odata.reads import ODataService
from chalicelib.odata.request import ODataRequest
from chalicelib.postgres.read_session import ReadSession
from chalicelib.principal import Principal, Role
from chalicelib.settings import Settings
from local.tokens import make_token

_ROUNDS = 7
_CALLS = 300
_PAGES = 60
_KEY = "the signing key of a benchmark, 32 bytes or more"
_REQUIREMENTS = TokenRequirements("https://issuer.example/", frozenset({"punch"}), "aud", 30)
_EMPLOYER = Principal(Role.EMPLOYER, 5)


def main() -> None:
    """Measure and print."""
    console = Console()
    console.print(_checks())
    with engines() as stores, service_on(stores, JWT_KEY=_KEY):
        console.print(_requests())
        console.print(_policies(stores.database))


def _checks() -> Table:
    """Measure validation of a valid and of a forged token, by algorithm."""
    claims = {
        "iss": _REQUIREMENTS.issuer,
        "aud": "punch",
        "sub": "bench",
        "role": "employer",
        "employerId": 5,
        "exp": int(time.time()) + 3_600,
    }
    rsa_key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    keys = [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key.public_key())), "kid": "r"},
        {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key.public_key())), "kid": "e"},
    ]
    names = ClaimNames.from_settings(Settings())
    shared = Authenticator(SharedKey(_KEY.encode()), _REQUIREMENTS, names)
    body = json.dumps({"keys": keys}).encode()
    issued = Authenticator(IssuerKeys(lambda: body), _REQUIREMENTS, names)
    table = Table("token validation", "us CPU, valid", "us CPU, forged")
    for algorithm, key, kid, by in (
        ("HS256", _KEY, None, shared),
        ("RS256", rsa_key, "r", issued),
        ("ES256", ec_key, "e", issued),
    ):
        headers = {"kid": kid} if kid else None
        sign = partial(jwt.encode, key=key, algorithm=algorithm, headers=headers)
        good = [sign({**claims, "sub": f"bench {each}"}) for each in range(_ROUNDS * _CALLS)]
        head, _, signature = good[0].split(".")
        forged = f"{head}.{sign({**claims, 'employerId': 6}).split('.')[1]}.{signature}"
        cpu_us = [
            _us(partial(_check_next, by, iter(tokens)), _CALLS)
            for tokens in (good, [forged] * len(good))
        ]
        table.add_row(algorithm, *(f"{each:.0f}" for each in cpu_us))
    return table


def _check_next(authenticator: Authenticator, tokens: Iterator[str]) -> None:
    with suppress(PunchClockError):
        authenticator.authenticate_token(next(tokens))


def _requests() -> Table:
    """Measure whole requests: an accepted POST, and rejected ones."""
    rejected = {
        "without a token": None,
        "not a JWT": "a.b.c",
        "forged": make_token("x" * 32, Role.INTEGRATION),
        "expired": make_token(_KEY, Role.INTEGRATION, lasts_s=-60),
        "of 8 KB": ".".join(("a" * 2_700,) * 3),
    }
    subjects = map(str, itertools.count())
    good = (make_token(_KEY, Role.INTEGRATION, subject=each) for each in subjects)
    tokens = iter([next(good) for _ in range(_ROUNDS * _CALLS)])
    accepted_us = _us(lambda: _post(next(tokens), 201), _CALLS)
    table = Table("a POST", "us CPU", "of an accepted one")
    table.add_row("accepted", f"{accepted_us:.0f}", "1.00")
    for name, token in rejected.items():
        cpu_us = _us(partial(_post, token, 401), _CALLS)
        table.add_row(name, f"{cpu_us:.0f}", f"{cpu_us / accepted_us:.2f}")
    return table


def _post(token: str | None, status: int) -> None:
    event = make_event(make_body())
    event["headers"].pop("authorization")
    if token is not None:
        event["headers"]["authorization"] = f"Bearer {token}"
    answer = app.app(event, None)
    assert answer["statusCode"] == status, answer


class _WithoutPolicies(ReadSession):
    """Reads as the owner of the tables, to whom no policy applies."""

    def _transaction(
        self, principal: Principal, timeout_s: float
    ) -> AbstractContextManager[Connection]:
        del principal
        return self._database.transaction(read_only=True, statement_timeout_s=timeout_s)


def _policies(database: Any) -> Table:
    """Measure an employer's queries with and without policies, in turns."""
    with database.transaction() as connection:
        connection.run(
            "INSERT INTO point_record (id, employee_id, employer_id, included_at,"
            " utc_offset_minutes, created_at)"
            f" SELECT {random_id('at')}, 1 + n % 5000, 1 + n % 20, at, 0, now()"
            " FROM (SELECT n, timestamptz '2026-01-01Z' + n * interval '1 minute' AS at"
            " FROM generate_series(1, 200000) AS n) AS punch"
        )
        connection.run(
            "INSERT INTO integration_log (point_id, employer_id, employee_id, number, attempt,"
            " status)"
            " SELECT id, employer_id, employee_id, 1, 0, 'AWAITING' FROM point_record"
        )
        connection.run("ANALYZE point_record, integration_log")
    readers = (ReadSession(database, 10), _WithoutPolicies(database, 10))
    services = [ODataService(reader, Settings()) for reader in readers]
    table = Table("a query of an employer with 10,000 records", "ms", "without policies", "ratio")
    for path in (
        "PointRecords",
        "PointRecords/$count",
        "IntegrationLogs",
        "IntegrationLogs/$count",
    ):
        request = ODataRequest(_EMPLOYER, "http://localhost/odata", path, [], {})
        cpu_us: list[list[float]] = [[], []]
        for _ in range(_PAGES):
            for service, times in zip(services, cpu_us, strict=True):
                started = time.perf_counter()
                service.get(request)
                times.append((time.perf_counter() - started) * 1_000)
        with_ms, without_ms = map(statistics.median, cpu_us)
        table.add_row(path, f"{with_ms:.1f}", f"{without_ms:.1f}", f"{with_ms / without_ms:.2f}")
    return table


def _us(call: Callable[[], None], times: int) -> float:
    """Return this process's CPU per call in microseconds: the median of the rounds."""
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(times):
            call()
        rounds.append((time.process_time() - started) / times * 1e6)
    return statistics.median(rounds)
