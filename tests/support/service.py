"""The service in this process, wired by its environment as in a Lambda, and what it has stored."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chalice.test import Client, HTTPResponse, TestHTTPClient

import app
from chalicelib import container, telemetry
from chalicelib.postgres.connection import Database
from local.dynamodb.server import CREDENTIALS
from tests.support.lambda_events import context, schedule_event
from tests.support.tokens import KEY, OPERATOR

PUNCH = {"employeeId": 7, "employerId": 121, "includedAt": "2026-11-22T08:00:00-03:00"}


def punch(employee: int, **fields: Any) -> dict[str, Any]:
    """The body of a POST: the same punch of another employee."""
    return {**PUNCH, "employeeId": employee, **fields}


class Http(TestHTTPClient):  # type: ignore[misc]
    """The routes, asked with the operator's token unless a test gives another."""

    def __init__(self, empty_directory: Path) -> None:
        # In any other directory the test client would take the environment of a stage's config.
        client = Client(app.app, project_dir=str(empty_directory))
        super().__init__(app.app, client.http._config)

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> HTTPResponse:
        return super().request(method, path, {**OPERATOR, **(headers or {})}, body)


def environment(*, dynamodb: str, table: str, postgres: str, legacy: str) -> dict[str, str]:
    """The environment of a process of the service that has these engines."""
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
        "POINT_RECORD_TABLE": table,
        "DATABASE_URL": postgres,
        "LEGACY_URL": legacy,
        "JWT_KEY": KEY,
        "DATABASE_CONNECT_TIMEOUT_S": "2",
        # A run stays for what is due within seconds: nothing is, until ``let_pass`` says so.
        "RETRY_BASE_S": "60",
        "SETTLE_INTERVAL_S": "0.05",
    }


# Nobody listens there.
NOWHERE = environment(
    dynamodb="http://127.0.0.1:9", table="none", postgres="postgresql://x@127.0.0.1:9/x", legacy=""
) | {"ACCEPTED_LOG": "cloudwatch:/aws/lambda/none", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


@contextmanager
def wired(variables: dict[str, str]) -> Iterator[pytest.MonkeyPatch]:
    """Let ``container`` build everything anew from these variables, and nothing outlive the end."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        forget()
        yield patch
        forget()


def forget() -> None:
    """Be as a process in which nothing was built yet."""
    for database in (container.database, container.queried_database):
        if database.cache_info().currsize:
            database().close()
    for built in vars(container).values():
        if hasattr(built, "cache_clear"):
            built.cache_clear()
    telemetry.logger.handlers.clear()


@dataclass(frozen=True)
class Service:
    """Its routes and schedules, called as API Gateway and EventBridge call them."""

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
            answer = self.post(bodies[first : first + 100])
            assert answer.status_code == 207
            ids += [item["record"]["id"] for item in answer.json_body]
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
        """Return how many records of the replica stand where."""
        return dict(self.rows("SELECT status, count(*) FROM point_record GROUP BY status"))

    def logs(self, record_id: str) -> list[tuple[int, str, int | None]]:
        """Return what the log tells of a record: attempt, status and HTTP status, in order."""
        return self.rows(
            "SELECT attempt, status, http_status FROM integration_log"
            " WHERE point_id = CAST(:id AS uuid) ORDER BY id",
            id=record_id,
        )

    def let_pass(self, seconds: float) -> None:
        """Be as so much later: every instant that leases and waits end at is in Postgres."""
        ago = "CAST(:seconds AS float8) * interval '1 second'"
        self.rows(
            f"UPDATE integrator_state SET leased_until = leased_until - {ago} RETURNING name",
            seconds=seconds,
        )
        self.rows(
            f"UPDATE point_record SET next_attempt_at = next_attempt_at - {ago}"
            " WHERE next_attempt_at IS NOT NULL RETURNING id",
            seconds=seconds,
        )


def error_of(answer: HTTPResponse) -> dict[str, Any]:
    """Return the error of an answer, which must be of the one shape and tell no internals."""
    assert set(answer.json_body) == {"error"}
    error: dict[str, Any] = answer.json_body["error"]
    assert {"code", "message"} <= set(error) <= {"code", "message", "target", "details"}
    assert all(isinstance(error[name], str) and error[name] for name in ("code", "message"))
    for detail in error.get("details", ()):
        assert set(detail) == {"code", "message", "target"}
    text = answer.body.decode()
    assert not any(word in text for word in ("Traceback", "SELECT", "127.0.0.1", "botocore"))
    return error
