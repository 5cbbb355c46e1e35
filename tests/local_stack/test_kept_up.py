"""What a running stack does: the way of a record, and starting again what dies."""

import getpass
import http.client
import json
import os
import signal
import stat
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pg8000.native
import pytest
import requests
from pg8000.exceptions import DatabaseError

from chalicelib.postgres.migrate import MIGRATIONS, read_migrations
from chalicelib.principal import Role
from chalicelib.web.headers import OF_GATEWAY
from local.tokens import make_token, read_key
from tests.support.running_stack import RunningStack, local
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path_factory.mktemp("stack") / "data", "--tick", "0.2")
    yield stack
    stack.end(signal.SIGTERM)


def test_a_punch_reaches_the_legacy(stack: RunningStack) -> None:
    record_id = stack.post().json()["id"]
    wait_until(lambda: stack.get(record_id).json()["status"] == "INTEGRATED")
    assert stack.at_legacy().count(record_id) == 1


@pytest.mark.parametrize(
    "name", ["postgres", "dynamodb", "legacy", "api", "replicate", "integrate"]
)
def test_what_dies_is_started_again_on_its_port(stack: RunningStack, name: str) -> None:
    before = stack.described()
    os.kill(before["pids"][name], signal.SIGKILL)

    wait_until(lambda: stack.described()["pids"][name] != before["pids"][name])

    after = stack.described()
    assert {**before, "pids": None} == {**after, "pids": None}
    wait_until(lambda: _answers(stack))
    record_id = stack.post(employeeId=before["pids"][name]).json()["id"]
    # The run that was killed may hold its lease (RUN_LEASE_S) for so long.
    wait_until(lambda: stack.get(record_id).json()["status"] == "INTEGRATED", 30 + 15)


def _answers(stack: RunningStack) -> bool:
    try:
        return (
            requests.get(stack.url("api", "/health"), headers=stack.operator, timeout=10).json()[
                "status"
            ]
            == "ok"
        )
    except requests.ConnectionError:
        return False


def test_another_stack_runs_beside_it(stack: RunningStack, tmp_path: Path) -> None:
    record_id = stack.post(employeeId=9).json()["id"]
    other = RunningStack(tmp_path / "other", "--tick", "0")
    try:
        assert stack.get(record_id).status_code == 200
        assert other.get(record_id).status_code == 404
    finally:
        assert other.end(signal.SIGINT) == 0


def test_a_second_stack_on_the_same_directory_is_refused(stack: RunningStack) -> None:
    second = stack.command("up")
    assert second.returncode == 1
    assert f"already runs on {stack.data}" in second.stdout


def test_a_port_that_is_taken_is_named(stack: RunningStack, tmp_path: Path) -> None:
    port = stack.url("api").rpartition(":")[2]
    second = local("up", "--data", str(tmp_path), "--port", port)
    assert second.returncode == 1
    assert second.stdout.startswith(f"Port {port} is taken.")


def test_status_tells_where_the_records_are(stack: RunningStack) -> None:
    record_id = stack.post(employeeId=8).json()["id"]
    wait_until(lambda: stack.get(record_id).json()["status"] == "INTEGRATED")
    shown = stack.command("status")
    assert shown.returncode == 0
    stages = [line.split("│")[1].strip() for line in shown.stdout.splitlines() if "│" in line]
    assert [stage for stage in stages if stage] == [
        "buffer",
        "replica AWAITING",
        "replica INTEGRATING",
        "replica ERROR",
        "replica INTEGRATED",
        "replica REJECTED",
        "quarantine",
        "legacy",
    ]


@pytest.mark.parametrize(
    "command", ["status", "tick replicate", "reconcile", "release", "replay --filter true"]
)
def test_without_a_stack_a_command_says_so(command: str, tmp_path: Path) -> None:
    done = local(*command.split(), "--data", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("No stack runs on")
    assert done.stdout == ""


def told(stack: RunningStack) -> list[dict[str, Any]]:
    """Return what the log tells of operators."""
    text = (stack.data / "log" / "operator.log").read_text()
    assert "eyJ" not in text
    return [json.loads(line) for line in text.splitlines()]


def test_to_start_a_stack_is_to_migrate_it_as_an_operator(stack: RunningStack) -> None:
    first, last = told(stack)[:2]
    assert (first["action"], first["outcome"]) == ("migrate", "asked")
    assert (last["outcome"], last["by"]) == ("done", getpass.getuser())
    assert last["found"]["applied"] == [each.name for each in read_migrations(MIGRATIONS)]


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("replay --filter true", "replay"),
        ("release", "release"),
        ("reconcile --since 2020-01-01T00:00:00Z", "reconcile-period"),
        ("tick replicate", "tick replicate"),
    ],
)
def test_a_command_acts_for_whoever_runs_it_or_whose_token_it_has(
    stack: RunningStack, command: str, action: str
) -> None:
    done = stack.command(*command.split(), "--comment", "a drill")
    assert done.returncode == 0, done.stderr
    assert "operator action" not in done.stdout
    asked, finished = told(stack)[-2:]
    for line, outcome in ((asked, "asked"), (finished, "done")):
        assert (line["action"], line["outcome"]) == (action, outcome)
        assert (line["by"], line["comment"]) == (getpass.getuser(), "a drill")

    employer = make_token(read_key(stack.data), Role.EMPLOYER, 1, subject="eve")
    refused = stack.command(*command.split(), "--token", employer)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "This is for the role integration alone.\n"
    line = told(stack)[-1]
    assert (line["action"], line["outcome"], line["by"]) == (action, "refused", "eve")


def test_the_database_asks_for_the_password_that_only_its_owner_can_read(
    stack: RunningStack,
) -> None:
    for name in ("pgpass", "stack.json"):
        assert stat.S_IMODE((stack.data / name).stat().st_mode) == 0o600
    url = urlsplit(stack.url("postgres"))
    with pytest.raises(DatabaseError) as refusal:
        pg8000.native.Connection(url.username, password="guess", host=url.hostname, port=url.port)
    assert refusal.value.args[0]["C"] == "28P01"


def test_the_service_is_no_superuser_of_the_database(stack: RunningStack) -> None:
    url = urlsplit(stack.url("postgres"))
    connection = pg8000.native.Connection(
        url.username, password=url.password, host=url.hostname, port=url.port
    )
    try:
        assert connection.run("SHOW is_superuser") == [["off"]]
    finally:
        connection.close()


def test_a_connection_that_is_kept_waits_for_no_acknowledgement(stack: RunningStack) -> None:
    url = urlsplit(stack.url("api"))
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    took_s, headers = [], stack.operator
    for _ in range(20):
        began = time.perf_counter()
        connection.request("GET", "/point-record/none", headers=headers)
        assert connection.getresponse().read()
        took_s.append(time.perf_counter() - began)
    connection.close()
    assert statistics.median(took_s) < 0.035  # a delayed acknowledgement takes 40 ms


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Content-Length": "much"}, 411),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "99999999999"}, 413),
        ({"Authorization": "Bearer a", "authorization": "Bearer b"}, 400),
    ],
)
def test_what_api_gateway_would_not_pass_on_is_refused(
    stack: RunningStack, headers: dict[str, str], status: int
) -> None:
    url = urlsplit(stack.url("api"))
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    connection.putrequest("POST", "/point-record")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == status
    assert OF_GATEWAY.items() <= dict(answer.getheaders()).items()
    assert b'{"error": {"code": ' in answer.read()
    connection.close()


def test_an_unknown_route_is_told_as_api_gateway_tells_it(stack: RunningStack) -> None:
    answer = requests.get(f"{stack.url('api')}/nowhere", timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")
    assert OF_GATEWAY.items() <= answer.headers.items()
    assert answer.headers["Content-Type"] == "application/json"
