"""A running stack: the way of a record, restarts, the commands, and what API Gateway would do."""

import getpass
import http.client
import json
import os
import signal
import socket
import stat
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pg8000.native
import psutil
import pytest
import requests
from pg8000.exceptions import DatabaseError

from chalicelib.postgres.migrate import MIGRATIONS, read_migrations
from chalicelib.principal import Role
from chalicelib.web.headers import GATEWAY_ERROR_HEADERS
from local.tokens import make_token, read_key
from tests.support.running_stack import RunningStack, local
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path_factory.mktemp("stack") / "data", "--tick", "0.2")
    yield stack
    stack.end(signal.SIGTERM)


def test_punch_reaches_the_legacy_once(stack: RunningStack) -> None:
    record_id = stack.post().json()["id"]
    wait_until(lambda: stack.get(record_id).json()["status"] == "INTEGRATED")
    assert stack.at_legacy().count(record_id) == 1


def test_the_link_to_the_console_opens_it_as_an_operator(stack: RunningStack) -> None:
    (link,) = [line.split()[1] for line in stack.output().splitlines() if "/console#" in line]
    page, _, token = link.partition("#token=")
    assert "<title>Punch clock</title>" in requests.get(page, timeout=10).text
    headers = {"Authorization": f"Bearer {token}"}
    health = requests.get(stack.url("api", "/health"), headers=headers, timeout=10).json()
    assert "lastMinute" in health["replica"]


@pytest.mark.parametrize(
    "name", ["postgres", "dynamodb", "legacy", "api", "replicate", "integrate", "reconcile"]
)
def test_process_that_dies_is_restarted_on_its_port(stack: RunningStack, name: str) -> None:
    before = stack.described()
    os.kill(before["pids"][name], signal.SIGKILL)

    wait_until(lambda: stack.described()["pids"][name] != before["pids"][name])

    after = stack.described()
    assert {**before, "pids": None} == {**after, "pids": None}
    wait_until(lambda: _is_healthy(stack))
    record_id = stack.post(employeeId=before["pids"][name]).json()["id"]
    # The killed run may hold its lease for RUN_LEASE_S, 30 s.
    wait_until(lambda: stack.get(record_id).json()["status"] == "INTEGRATED", 30 + 15)


def _is_healthy(stack: RunningStack) -> bool:
    try:
        return (
            requests.get(stack.url("api", "/health"), headers=stack.operator, timeout=10).json()[
                "status"
            ]
            == "ok"
        )
    except requests.ConnectionError:
        return False


def test_only_the_integrator_yields_its_cpu(stack: RunningStack) -> None:
    own = psutil.Process().nice()
    nice = {name: psutil.Process(pid).nice() for name, pid in stack.described()["pids"].items()}

    assert nice == dict.fromkeys(nice, own) | {"integrate": own + 5}
    group = Path(f"/proc/{stack.described()['pids']['integrate']}/autogroup")
    assert not group.exists() or group.read_text().endswith(" nice 5\n")


def test_second_stack_runs_on_another_directory(stack: RunningStack, tmp_path: Path) -> None:
    record_id = stack.post(employeeId=9).json()["id"]
    other = RunningStack(tmp_path / "other", "--tick", "0")
    try:
        assert stack.get(record_id).status_code == 200
        assert other.get(record_id).status_code == 404
    finally:
        assert other.end(signal.SIGINT) == 0


def test_second_stack_on_the_same_directory_is_refused(stack: RunningStack) -> None:
    second = stack.command("up")
    assert second.returncode == 1
    assert f"already runs on {stack.data}" in second.stdout


def test_port_in_use_is_named(stack: RunningStack, tmp_path: Path) -> None:
    port = stack.url("api").rpartition(":")[2]
    second = local("up", "--data", str(tmp_path), "--port", port)
    assert second.returncode == 1
    assert second.stdout.startswith(f"Port {port} is in use.")


def test_status_lists_the_stages(stack: RunningStack) -> None:
    record_id = stack.post(employeeId=8).json()["id"]
    wait_until(lambda: stack.get(record_id).json()["status"] == "INTEGRATED")
    shown = stack.command("status")
    assert shown.returncode == 0
    stages = [line.split("│")[1].strip() for line in shown.stdout.splitlines() if "│" in line]
    assert [stage for stage in stages if stage] == [
        "buffer",
        "PostgreSQL AWAITING",
        "PostgreSQL INTEGRATING",
        "PostgreSQL ERROR",
        "PostgreSQL INTEGRATED",
        "PostgreSQL REJECTED",
        "quarantine",
        "legacy",
    ]


def test_status_names_each_part_that_is_frozen(stack: RunningStack) -> None:
    pids = stack.described()["pids"]
    frozen = [pids["dynamodb"], pids["legacy"], pids["integrate"]]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        shown = stack.command("status")
        assert time.monotonic() - started < 20
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert shown.returncode == 1
    faults = [line for line in shown.stdout.splitlines() if "does not" in line]
    assert [(line.split("│")[1].strip(), line.split("│")[4].strip()) for line in faults] == [
        ("buffer", "does not respond"),
        ("legacy", "does not respond"),
        ("integrate", "does not run"),
    ]
    assert "PostgreSQL INTEGRATED" in shown.stdout


@pytest.mark.parametrize(
    "command", ["status", "tick replicate", "reconcile", "release", "replay --filter true"]
)
def test_command_without_a_stack_fails_and_says_so(command: str, tmp_path: Path) -> None:
    done = local(*command.split(), "--data", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("No stack runs on")
    assert done.stdout == ""


def audit_log(stack: RunningStack) -> list[dict[str, Any]]:
    """Return the lines of the audit log, which has no token."""
    text = (stack.data / "log" / "operator.log").read_text()
    assert "eyJ" not in text
    return [json.loads(line) for line in text.splitlines()]


def test_start_migrates_the_database_as_an_audited_command(stack: RunningStack) -> None:
    first, last = audit_log(stack)[:2]
    assert (first["action"], first["outcome"]) == ("migrate", "started")
    assert (last["outcome"], last["by"]) == ("done", getpass.getuser())
    assert last["result"]["applied"] == [each.name for each in read_migrations(MIGRATIONS)]


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("replay --filter true", "replay"),
        ("release", "release"),
        ("reconcile --since 2020-01-01T00:00:00Z", "reconcile-period"),
        ("keys --name payroll --employer 1 --days 30", "access-keys"),
        ("export --employer 121 --employee 7", "export"),
        ("restore --since 2026-01-01T00:00:00Z", "restore"),
        ("tick replicate", "tick replicate"),
    ],
)
def test_operator_command_is_audited_under_the_user_or_the_subject_of_its_token(
    stack: RunningStack, command: str, action: str
) -> None:
    done = stack.command(*command.split(), "--comment", "a drill")
    assert done.returncode == 0, done.stderr
    assert "operator action" not in done.stdout
    requested, finished = audit_log(stack)[-2:]
    for line, outcome in ((requested, "started"), (finished, "done")):
        assert (line["action"], line["outcome"]) == (action, outcome)
        assert (line["by"], line["comment"]) == (getpass.getuser(), "a drill")

    employer = make_token(read_key(stack.data), Role.EMPLOYER, 1, subject="eve")
    refused = stack.command(*command.split(), "--token", employer)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "This command requires a token of the role integration.\n"
    line = audit_log(stack)[-1]
    assert (line["action"], line["outcome"], line["by"]) == (action, "refused", "eve")


def test_access_key_is_printed_once_and_reads(stack: RunningStack) -> None:
    made = stack.command("keys", "--name", "report", "--employer", "1")
    key = made.stdout.strip()
    assert (made.returncode, key[:4], "is not shown again" in made.stderr) == (0, "pck_", True)
    response = requests.get(stack.url("api", "/odata"), auth=("report", key), timeout=10)
    assert response.status_code == 200
    listed = stack.command("keys").stdout
    assert '"name": "report"' in listed
    assert key not in listed
    assert stack.command("keys", "--name", "report").returncode == 1
    key_id = made.stderr.split()[1]
    assert stack.command("keys", "--revoke", key_id).stdout == f'{{"revoked": {key_id}}}\n'
    revoked = requests.get(stack.url("api", "/odata"), auth=("report", key), timeout=10)
    assert revoked.status_code == 401
    for log in (stack.data / "log").iterdir():
        assert key.encode() not in log.read_bytes()


def test_database_requires_the_password_that_only_its_owner_can_read(
    stack: RunningStack,
) -> None:
    for name in ("pgpass", "stack.json"):
        assert stat.S_IMODE((stack.data / name).stat().st_mode) == 0o600
    url = urlsplit(stack.url("postgres"))
    with pytest.raises(DatabaseError) as refusal:
        pg8000.native.Connection(url.username, password="guess", host=url.hostname, port=url.port)
    assert refusal.value.args[0]["C"] == "28P01"


def test_other_users_of_the_machine_can_read_nothing(stack: RunningStack) -> None:
    stack.command("status")
    others = stat.S_IRWXG | stat.S_IRWXO
    home = stat.S_IMODE(stack.data.stat().st_mode)
    # If we are root, PostgreSQL's account passes through the directory.
    assert home & others in (0, stat.S_IXGRP | stat.S_IXOTH)
    readable = [
        each for each in stack.data.iterdir() if stat.S_IMODE(each.lstat().st_mode) & others
    ]
    assert readable == []
    assert {"dynamodb", "postgres", "log", "legacy.journal"} <= {
        each.name for each in stack.data.iterdir()
    }


def test_service_is_not_a_superuser_of_the_database(stack: RunningStack) -> None:
    url = urlsplit(stack.url("postgres"))
    connection = pg8000.native.Connection(
        url.username, password=url.password, host=url.hostname, port=url.port
    )
    try:
        assert connection.run("SHOW is_superuser") == [["off"]]
    finally:
        connection.close()


def test_kept_connection_does_not_wait_for_delayed_acknowledgements(stack: RunningStack) -> None:
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
        ({"Content-Length": "much"}, 400),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "2", "content-length": "2"}, 400),
        ({"Content-Length ": "2"}, 400),
        ({"Content-Length": "99999999999"}, 413),
        ({"Authorization": "Bearer a", "authorization": "Bearer b"}, 400),
    ],
)
def test_request_that_api_gateway_would_not_pass_on_is_refused(
    stack: RunningStack, headers: dict[str, str], status: int
) -> None:
    url = urlsplit(stack.url("api"))
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    connection.putrequest("POST", "/point-record")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == status
    assert GATEWAY_ERROR_HEADERS.items() <= dict(response.getheaders()).items()
    assert b'{"error": {"code": ' in response.read()
    connection.close()


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        # The request line, the other headers and the ends of lines take the rest.
        (f"/health?x={'a' * 9_000}", {}, 200),
        (f"/health?x={'a' * 10_300}", {}, 413),
        ("/health", {"X-Long": "a" * 10_300}, 413),
        ("/health?x={}", {}, 400),
        ("/health?x=%7B%7D", {}, 200),
        # The lines of a list are one list; of another repeated header the last value counts.
        ("/odata/PointRecords?$top=0", {"Accept": "application/json", "accept": "text/html"}, 200),
        ("/odata/PointRecords?$top=0", {"OData-Version": "9", "odata-version": "4.0"}, 200),
        ("/odata/PointRecords?$top=0&$expand=logs($top=1;$select=number)", {}, 200),
        ("/odata/PointRecords?$skip=0&$expand=logs($top=1;$select=number)", {}, 400),
    ],
)
def test_head_is_bounded_and_changed_as_by_api_gateway(
    stack: RunningStack, target: str, headers: dict[str, str], status: int
) -> None:
    url = urlsplit(stack.url("api"))
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=10)
    connection.putrequest("GET", target)
    for name, value in {**stack.operator, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == status, response.read()
    assert (b'{"error": {"code": ' in response.read()) == (status >= 400)
    connection.close()


def test_raw_bytes_of_a_url_and_of_headers_are_utf_8(stack: RunningStack) -> None:
    def status_and_body(
        target: bytes, header: bytes = b"User-Agent: d\xe9j\xe0"
    ) -> tuple[int, bytes]:
        url = urlsplit(stack.url("api"))
        token = f"Authorization: {stack.operator['Authorization']}".encode()
        with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
            lines = [b"GET " + target + b" HTTP/1.0", token, header]
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
            with connection.makefile("rb") as response:
                status_line, _, rest = response.read().partition(b"\r\n")
        return int(status_line.split()[1]), rest.partition(b"\r\n\r\n")[2]

    # Of its bytes in UTF-8, 0xA0 and 0x85 are spaces in Latin-1.
    device = "São Joãà Å"
    stack.post(employeeId=31, deviceId=device)
    raw = f"/odata/PointRecords/$count?$filter=deviceId%20eq%20'{device.replace(' ', '%20')}'"
    wait_until(lambda: status_and_body(raw.encode()) == (200, b"1"))
    status, body = status_and_body(raw.encode("latin-1"))
    assert status == 400
    assert b"not valid UTF-8" in body
    status, body = status_and_body(b"/odata/$metadata", b"Prefer: d\xe9j\xe0")
    assert status == 400
    assert b"prefer is not valid UTF-8" in body
    status, body = status_and_body(b"/odata/$metadata", "Prefer: déjà".encode())
    assert status == 200


def test_unknown_route_gets_the_response_of_api_gateway(stack: RunningStack) -> None:
    response = requests.get(f"{stack.url('api')}/nowhere", timeout=10)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NotFound")
    assert GATEWAY_ERROR_HEADERS.items() <= response.headers.items()
    assert response.headers["Content-Type"] == "application/json"
