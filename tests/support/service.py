"""The service in this process, configured by its environment as in Lambda, and its stored data."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chalice.test import Client, HTTPResponse, TestHTTPClient

import app
from chalicelib import container, integrator_wiring, operator_route, telemetry
from chalicelib.postgres.connection import Database
from local.dynamodb.server import CREDENTIALS
from local.gateway import ApiGateway
from tests.support.lambda_events import context, schedule_event
from tests.support.tokens import KEY, OPERATOR

PUNCH = {"employeeId": 7, "employerId": 121, "includedAt": "2026-11-22T08:00:00-03:00"}


def punch(employee: int, **fields: Any) -> dict[str, Any]:
    """The body of a POST: ``PUNCH`` of another employee."""
    return {**PUNCH, "employeeId": employee, **fields}


class Http(TestHTTPClient):  # type: ignore[misc]
    """A client of the routes. It sends the operator's token unless the test gives another."""

    def __init__(self, empty_directory: Path) -> None:
        # With a Chalice config in its directory, the client would use the environment of a stage.
        client = Client(app.app, project_dir=str(empty_directory))
        super().__init__(app.app, client.http._config)
        self._local_gateway = ApiGateway(app.app, client.http._config)

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> HTTPResponse:
        return super().request(method, path, {**OPERATOR, **(headers or {})}, body)


def environment(*, dynamodb: str, table: str, postgres: str, legacy: str) -> dict[str, str]:
    """The environment of a process of the service that uses these engines."""
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
        "POINT_RECORD_TABLE": table,
        "DATABASE_URL": postgres,
        "LEGACY_URL": legacy,
        "JWT_KEY": KEY,
        "DATABASE_CONNECT_TIMEOUT_S": "2",
        # A run waits for records that are due within seconds. With this delay, a retry is not due
        # before the test calls ``advance_time``.
        "RETRY_BASE_S": "60",
        "SETTLE_INTERVAL_S": "0.05",
        # A hundred years: the instants of the tests are fixed.
        "RETENTION_MONTHS": "1200",
    }


# No server listens at these addresses.
UNREACHABLE = environment(
    dynamodb="http://127.0.0.1:9", table="none", postgres="postgresql://x@127.0.0.1:9/x", legacy=""
) | {
    "ACCEPTED_LOG": "cloudwatch:/aws/lambda/none",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "JOURNAL": "s3:none",
}


@contextmanager
def wired(variables: dict[str, str]) -> Iterator[pytest.MonkeyPatch]:
    """Make ``container`` build everything from these variables; discard it all at the end."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        reset_container()
        yield patch
        reset_container()


def reset_container() -> None:
    """Discard everything that ``container`` has built, as if the process were new."""
    databases = (container.database, container.queried_database, operator_route.request_database)
    for database in databases:
        if database.cache_info().currsize:
            database().close()
    cached = (*vars(container).values(), *vars(integrator_wiring).values())
    for function in (*cached, operator_route.request_database):
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    telemetry.logger.handlers.clear()


@dataclass(frozen=True)
class Service:
    """The service's routes and schedules, called as API Gateway and EventBridge call them."""

    http: Any
    database: Database

    @classmethod
    def of(cls, database: Database, empty_directory: Path) -> "Service":
        return cls(Http(empty_directory), database)

    def post(self, body: Any, content_type: str = "application/json") -> HTTPResponse:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post("/point-record", headers={"Content-Type": content_type}, body=text)

    def accept(self, employees: Iterable[int]) -> list[str]:
        """Post the punches of these employees and return their ids."""
        bodies = [punch(each) for each in employees]
        ids: list[str] = []
        for first in range(0, len(bodies), 100):
            response = self.post(bodies[first : first + 100])
            assert response.status_code == 207
            ids += [item["record"]["id"] for item in response.json_body]
        return ids

    def get(self, path: str) -> HTTPResponse:
        return self.http.get(path)

    def replicate(self, seconds: float = 60.0) -> None:
        app.replicate(schedule_event(), context(seconds))

    def integrate(self, seconds: float = 60.0) -> None:
        app.integrate(schedule_event(), context(seconds))

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.database.transaction() as connection:
            return [tuple(row) for row in connection.run(statement, **values)]

    def statuses(self) -> dict[str, int]:
        """Return the number of records in Postgres by status."""
        return dict(self.rows("SELECT status, count(*) FROM point_record GROUP BY status"))

    def logs(self, record_id: str) -> list[tuple[int, str, int | None]]:
        """Return attempt, status and HTTP status of each log row of a record, in order."""
        return self.rows(
            "SELECT attempt, status, http_status FROM integration_log"
            " WHERE point_id = CAST(:id AS uuid) ORDER BY number",
            id=record_id,
        )

    def advance_time(self, seconds: float) -> None:
        """Advance the time for leases and retries. All of their instants are in Postgres."""
        ago = "CAST(:seconds AS float8) * interval '1 second'"
        self.rows(
            f"UPDATE integrator_state SET leased_until = leased_until - {ago},"
            " limiter = limiter || jsonb_build_object("
            "'stored_at', CAST(limiter ->> 'stored_at' AS float8) - CAST(:seconds AS float8))"
            " RETURNING name",
            seconds=seconds,
        )
        self.rows(
            f"UPDATE point_record SET next_attempt_at = next_attempt_at - {ago}"
            " WHERE next_attempt_at IS NOT NULL RETURNING id",
            seconds=seconds,
        )


def error_of(response: HTTPResponse) -> dict[str, Any]:
    """Return the error of a response. Check that it has the error format and no internals."""
    assert set(response.json_body) == {"error"}
    error: dict[str, Any] = response.json_body["error"]
    assert {"code", "message"} <= set(error) <= {"code", "message", "target", "details"}
    assert all(isinstance(error[name], str) and error[name] for name in ("code", "message"))
    for detail in error.get("details", ()):
        assert set(detail) == {"code", "message", "target"}
    text = response.body.decode()
    assert not any(word in text for word in ("Traceback", "SELECT", "127.0.0.1", "botocore"))
    return error
