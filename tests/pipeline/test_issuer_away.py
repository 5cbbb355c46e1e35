"""Intake needs DynamoDB alone: the issuer may be away, and its keys come from their table."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import app
from local.dynamodb import server as dynamodb_server
from tests.architecture.test_cold_start import POST, run
from tests.support.dynamodb_proxy import DynamoDBProxy, fails_with
from tests.support.dynamodb_proxy import running as proxied
from tests.support.issuer import Issuer
from tests.support.lambda_events import context, rest_event, schedule_event
from tests.support.service import Http, environment, error_of, punch, reset_container, wired


@pytest.fixture(scope="module")
def table(dynamodb: Any) -> str:
    """One table for all tests: each post has another employee."""
    name = "issuer_away"
    dynamodb_server.create_table(dynamodb, name)
    return name


@pytest.fixture
def proxy(dynamodb_url: str) -> Iterator[DynamoDBProxy]:
    with proxied(dynamodb_url) as proxy:
        yield proxy


@pytest.fixture
def stage(
    proxy: DynamoDBProxy, table: str, key_table: str, issuer: Issuer
) -> Iterator[dict[str, str]]:
    """The environment of a stage with an issuer, whose keys are in their table."""
    variables = environment(dynamodb=proxy.url, table=table, postgres="unused", legacy="unused")
    variables |= {**issuer.environment, "JWKS_TABLE": key_table}
    with wired(variables):
        app.store_keys(schedule_event(), context())
        assert issuer.reads == 1
        reset_container()
        yield variables


EMPLOYEES = count(1)


def request(issuer: Issuer, kid: str = "a") -> dict[str, Any]:
    """Return the event of a new punch with a token that is signed with this key."""
    return rest_event(
        "POST",
        "/point-record",
        body=json.dumps(punch(next(EMPLOYEES))),
        headers={"Content-Type": "application/json", **issuer.authorization(kid)},
    )


def post(issuer: Issuer, kid: str = "a") -> int:
    """Post a punch, and return the status of the response."""
    status: int = app.intake(request(issuer, kid), context())["statusCode"]
    return status


def test_cold_process_accepts_a_valid_token_while_the_issuer_is_away(
    stage: dict[str, str], issuer: Issuer, proxy: DynamoDBProxy
) -> None:
    """The real thing: a fresh interpreter, and a port at which nobody listens."""
    issuer.stop()
    result = run(POST, stage, stdin=json.dumps(request(issuer)))
    assert result["status"] == 201
    assert issuer.reads == 1  # by the schedule
    assert "chalicelib.identity.jwks_fetch" not in result["modules"]


def test_many_cold_processes_do_not_ask_the_issuer(
    stage: dict[str, str], issuer: Issuer, proxy: DynamoDBProxy
) -> None:
    gets = proxy.calls["GetItem"]
    for _ in range(25):
        reset_container()
        assert post(issuer) == 201
    assert issuer.reads == 1  # by the schedule
    assert proxy.calls["GetItem"] == gets + 25


def test_unknown_key_is_asked_for_once(stage: dict[str, str], issuer: Issuer) -> None:
    issuer.kids.append("b")
    assert post(issuer, "b") == 201
    for _ in range(5):
        assert post(issuer) == 201
        assert post(issuer, "invented") == 401
    assert issuer.reads == 2


def test_withdrawn_key_stops_in_new_processes_once_the_schedule_has_run(
    stage: dict[str, str], issuer: Issuer
) -> None:
    assert post(issuer) == 201
    issuer.kids = ["b"]
    app.store_keys(schedule_event(), context())
    reset_container()
    assert post(issuer) == 401
    assert post(issuer, "b") == 201


@pytest.mark.parametrize(
    "kind", ["ResourceNotFoundException", "AccessDeniedException", "InternalServerError"]
)
def test_issuer_is_asked_if_the_table_is_away(
    kind: str, stage: dict[str, str], issuer: Issuer, proxy: DynamoDBProxy
) -> None:
    proxy.always("GetItem", fails_with(500 if kind.startswith("Int") else 400, kind))
    assert post(issuer) == 201
    assert issuer.reads == 2


def test_table_and_issuer_away_is_503_with_retry_after(
    stage: dict[str, str], issuer: Issuer, proxy: DynamoDBProxy, tmp_path: Path
) -> None:
    proxy.always("GetItem", fails_with(400, "ResourceNotFoundException"))
    issuer.is_down = True
    for path in ("/odata", "/health"):
        response = Http(tmp_path).request("GET", path, issuer.authorization())
        assert response.status_code == 503
        assert error_of(response)["code"] == "Unavailable"
        assert int(response.headers["Retry-After"]) >= 1
    assert post(issuer) == 503
    proxy.repair()
    reset_container()
    assert post(issuer) == 201


def test_routes_read_the_table_as_intake_does(
    stage: dict[str, str], issuer: Issuer, tmp_path: Path
) -> None:
    issuer.is_down = True
    http = Http(tmp_path)
    for path in ("/odata", "/health"):
        response = http.request("GET", path, issuer.authorization())
        assert error_of(response)["message"].startswith("DATABASE_URL")  # the token is valid
    assert issuer.reads == 1


@pytest.mark.parametrize("missing", ["JWKS_TABLE", "JWKS_URL"])
def test_schedule_does_nothing_without_an_issuer_or_a_table(
    missing: str, stage: dict[str, str], issuer: Issuer, proxy: DynamoDBProxy
) -> None:
    calls = sum(proxy.calls.values())
    with wired({**stage, missing: ""}):
        app.store_keys(schedule_event(), context())
        if missing == "JWKS_TABLE":
            assert post(issuer) == 201  # by the issuer
            assert proxy.calls["PutItem"] == 2
            calls += 1
    assert sum(proxy.calls.values()) == calls
