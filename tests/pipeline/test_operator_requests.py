"""``POST /operations/…``: who may send them, what they do, and how a long one continues."""

import json
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib import container, operator_route
from chalicelib.postgres.dead_letters import DeadLetters
from chalicelib.principal import Role
from local.tokens import make_token
from tests.pipeline.test_operators import audit_lines
from tests.pipeline.test_replay import park, park_due_records
from tests.support.service import PUNCH, UNREACHABLE, Http, Service, error_of, wired
from tests.support.tokens import KEY, authorization

ADA = {"Authorization": f"Bearer {make_token(KEY, Role.INTEGRATION, subject='ada')}"}
BODIES: dict[str, dict[str, Any]] = {
    "replay": {"filter": "true", "comment": "ticket 12"},
    "quarantine": {},
    "release": {"quarantineId": 1, "comment": "ticket 12"},
    "reconcile": {"comment": "ticket 12"},
    "access-keys": {"name": "payroll", "employerId": 121, "comment": "ticket 12"},
}
ACTIONS = {"quarantine": "release", "reconcile": "reconcile-period"}


def send(http: Http, name: str, body: object, headers: dict[str, str] = ADA) -> HTTPResponse:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    return http.post(f"/operations/{name}", headers=sent, body=text)


def done(service: Service, name: str, /, **body: Any) -> dict[str, Any]:
    response = send(service.http, name, {"comment": "ticket 12", **body})
    assert response.status_code == 200, response.body
    result: dict[str, Any] = response.json_body
    return result


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("role", [Role.EMPLOYEE, Role.EMPLOYER])
def test_a_request_of_another_role_is_refused_and_logged_and_reaches_no_store(
    name: str, role: Role, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with wired(UNREACHABLE):
        response = send(Http(tmp_path), name, BODIES[name], authorization(role, 121, 7))
        assert operator_route.request_database.cache_info().currsize == 0
        assert container.buffer.cache_info().currsize == 0
    assert response.status_code == 403
    assert "integration" in error_of(response)["message"]
    (line,) = audit_lines(capsys)
    assert (line["outcome"], line["role"]) == ("refused", role)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "of_a_page",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
    ],
)
def test_credentials_that_a_browser_adds_by_itself_run_no_command(
    name: str, of_a_page: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = make_token(KEY, Role.INTEGRATION, subject="ada")
    basic = {"Authorization": f"Basic {b64encode(f'x:{token}'.encode()).decode()}"}
    with wired(UNREACHABLE):
        refused = send(Http(tmp_path), name, BODIES[name], basic | of_a_page)
        assert (refused.status_code, error_of(refused)["code"]) == (403, "Forbidden")
        assert "Bearer" in error_of(refused)["message"]
        assert audit_lines(capsys) == []
        # A program may send Basic, and a page that has the token may send Bearer.
        for headers in (basic, ADA | of_a_page):
            assert send(Http(tmp_path), name, b"[]", headers).status_code == 400


@pytest.mark.parametrize("name", BODIES)
def test_a_store_that_is_away_is_a_503_and_the_command_is_logged_as_failed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "api.log"
    line = {"at": datetime.now(UTC).isoformat(), "message": "accepted", "id": "0" * 32}
    log.write_text(json.dumps(line))
    with wired(UNREACHABLE | {"ACCEPTED_LOG": f"file:{log}", "DATABASE_CONNECT_TIMEOUT_S": "0.5"}):
        response = send(Http(tmp_path), name, BODIES[name])
    assert response.status_code == 503
    assert error_of(response)["code"] == "Unavailable"
    before, after = audit_lines(capsys)
    assert (before["outcome"], after["outcome"]) == ("started", "failed")
    assert (after["action"], after["by"]) == (ACTIONS.get(name, name), "ada")


@pytest.mark.parametrize("log", ["", "s3:bucket", "file:/proc/self/mem"])
def test_a_log_that_cannot_be_read_is_a_misconfiguration(log: str, tmp_path: Path) -> None:
    with wired(UNREACHABLE | {"ACCEPTED_LOG": log}):
        response = send(Http(tmp_path), "reconcile", BODIES["reconcile"])
    assert response.status_code == 503
    assert error_of(response)["code"] == "Misconfigured"
    assert "ACCEPTED_LOG" in error_of(response)["message"]


def test_operator_routes_can_be_turned_off(tmp_path: Path) -> None:
    with wired(UNREACHABLE | {"OPERATOR_ROUTES": "off"}):
        for name, body in BODIES.items():
            response = send(Http(tmp_path), name, body)
            assert response.status_code == 404
            assert "OPERATOR_ROUTES" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("name", "body", "status", "target"),
    [
        ("replay", b"", 400, None),
        ("replay", b"[1]", 400, None),
        ("replay", b'{"filter": 1, "filter": 2}', 400, "filter"),
        ("replay", b" " * 70_000, 413, None),
        ("replay", {"filter": "true"}, 400, "comment"),
        ("replay", {"filter": "true", "comment": " "}, 400, "comment"),
        ("replay", {"filter": "true", "comment": "a\nb"}, 400, "comment"),
        ("replay", {"comment": "x"}, 400, "filter"),
        ("replay", {"filter": "deviceId eq '\ud800'", "comment": "x"}, 400, "filter"),
        ("replay", {"filter": "deviceId eq 'a\0b'", "comment": "x"}, 400, "filter"),
        ("replay", {"filter": "true", "comment": "x", "cursor": "\ud800"}, 400, "cursor"),
        ("replay", {"filter": "true", "comment": "\ud800"}, 400, "comment"),
        ("replay", {"filter": "true", "comment": "x", "\ud800": 1}, 400, None),
        ("replay", {"filter": ["true"], "comment": "x"}, 400, "filter"),
        ("replay", {"filter": "employerId eq", "comment": "x"}, 400, "filter"),
        ("replay", {"filter": "true", "comment": "x", "token": "x"}, 400, "token"),
        ("replay", {"filter": "true", "comment": "x", "cursor": 7}, 400, "cursor"),
        ("replay", {"filter": "true", "comment": "x", "cursor": "a/b"}, 400, "cursor"),
        ("quarantine", {"before": "7"}, 400, "before"),
        ("quarantine", {"before": 2**63}, 400, "before"),
        ("quarantine", {"before": True}, 400, "before"),
        ("release", {"comment": "x"}, 400, "quarantineId"),
        ("release", {"quarantineId": 0, "comment": "x"}, 400, "quarantineId"),
        ("release", {"quarantineId": 7, "comment": "x"}, 404, None),
        ("release", {"quarantineId": "\ud800", "comment": "x"}, 400, "quarantineId"),
        ("reconcile", {"since": "\ud800", "comment": "x"}, 400, "since"),
        ("reconcile", {"since": "yesterday", "comment": "x"}, 400, "since"),
        ("reconcile", {"until": "0001-01-01T00:00:00Z", "comment": "x"}, 400, "since"),
        ("reconcile", {"cursor": "x", "comment": "x"}, 400, "cursor"),
        ("reconcile", {"cursor": "x/y/PT1S", "comment": "x"}, 400, "cursor"),
        ("access-keys", {"name": "x", "employerId": 1}, 400, "comment"),
        ("access-keys", {"revoke": 1}, 400, "comment"),
        ("access-keys", {"name": "x", "comment": "x"}, 400, "employerId"),
        ("access-keys", {"employerId": 1.0, "name": "x", "comment": "x"}, 400, "employerId"),
        ("access-keys", {"revoke": 1, "before": 7, "comment": "x"}, 400, "revoke"),
        ("access-keys", {"name": "x", "before": 7, "comment": "x"}, 400, "before"),
        ("access-keys", {"before": 0}, 400, "before"),
        ("access-keys", {"revoke": 7, "comment": "x"}, 404, "revoke"),
        ("access-keys", {"name": "\ud800", "employerId": 1, "comment": "x"}, 400, "name"),
        ("nothing", {"comment": "x"}, 404, None),
    ],
)
def test_an_invalid_command_is_refused_by_name(
    service: Service, name: str, body: object, status: int, target: str | None
) -> None:
    response = send(service.http, name, body)
    assert response.status_code == status, response.body
    if target is not None:
        assert error_of(response)["target"].strip("$") == target


def test_other_methods_and_media_types_are_refused(service: Service) -> None:
    assert service.get("/operations/replay").status_code == 405
    options = service.http.options("/operations/replay")
    assert (options.status_code, options.headers["Allow"]) == (204, "OPTIONS, POST")
    xml = {**ADA, "Content-Type": "application/xml"}
    assert send(service.http, "replay", b"{}", xml).status_code == 415


def test_a_replay_returns_parked_records_to_the_queue_and_is_logged(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    park(service, range(1, 5))
    audit_lines(capsys)
    assert done(service, "replay", filter="employeeId le 3") == {"replayed": 3, "more": False}
    assert service.statuses() == {"REJECTED": 1, "AWAITING": 3}
    started, finished = audit_lines(capsys)
    assert (started["outcome"], finished["outcome"]) == ("started", "done")
    assert (finished["by"], finished["comment"]) == ("ada", "ticket 12")
    assert finished["command"] == {"filter": "employeeId le 3"}
    assert finished["result"] == {"replayed": 3, "more": False}


def test_a_replay_that_is_cut_short_continues_and_replays_no_record_twice(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_route, "_REPLAY_BATCH", 2)
    monkeypatch.setattr(operator_route, "_REQUEST_S", 0.1)
    replay = DeadLetters.replay

    def replay_slowly(*batch: Any, **options: Any) -> Any:
        result = replay(*batch, **options)
        time.sleep(0.11)
        return result

    monkeypatch.setattr(DeadLetters, "replay", replay_slowly)
    for employee in range(1, 6):  # parked one after another
        park(service, range(employee, employee + 1))
    counts: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        result = done(service, "replay", filter="true", **cursor)
        counts.append(result["replayed"])
        park_due_records()  # the cause is not removed: they are parked again
        if not result["more"]:
            break
        cursor = {"cursor": result["cursor"]}
        assert len(counts) < 9
    assert len(counts) >= 3
    assert sum(counts) == 5
    assert service.statuses() == {"REJECTED": 5}


def test_quarantine_is_listed_mended_and_released(
    service: Service, dynamodb: Any, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        item = {"id": {"S": f"x{number}"}, "record": {"S": "junk" * 5_000 * number}}
        dynamodb.put_item(TableName=table, Item=item)
    service.replicate()
    audit_lines(capsys)
    items = done(service, "quarantine")["items"]
    assert [each["id"] for each in items] == sorted((each["id"] for each in items), reverse=True)
    assert {each["itemId"]: each["isCut"] for each in items} == {
        "x0": False,
        "x1": True,
        "x2": True,
    }
    assert max(len(each["item"]) for each in items) == 8_000
    assert all(each["reason"] and each["quarantinedAt"] for each in items)
    older = send(service.http, "quarantine", {"before": items[0]["id"]}).json_body["items"]
    assert older == items[1:]
    number = items[0]["id"]
    still_wrong = send(
        service.http,
        "release",
        {"quarantineId": number, "record": PUNCH | {"employeeId": -1}, "comment": "x"},
    )
    assert still_wrong.status_code == 400
    assert [each["target"] for each in error_of(still_wrong)["details"]] == ["employeeId"]
    assert (
        send(
            service.http, "release", {"quarantineId": number, "record": 7, "comment": "x"}
        ).status_code
        == 400
    )
    released = done(service, "release", quarantineId=number, record=PUNCH)
    assert released["written"] == 1
    assert service.get(f"/point-record/{released['id']}").json_body["employeeId"] == 7
    assert len(done(service, "quarantine")["items"]) == 2
    lines = json.dumps(audit_lines(capsys))
    assert "2026-11-22" not in lines  # no content of a record


def test_a_period_is_reconciled_in_steps(
    variables: dict[str, str],
    database: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "api.log"
    with wired({**variables, "ACCEPTED_LOG": f"file:{log}"}):
        service = Service.of(database, tmp_path)
        service.accept([1, 2])
        service.replicate()
        service.accept([3])
        lines = capsys.readouterr().out
        lost = {"at": (datetime.now(UTC) - timedelta(hours=30)).isoformat(), "message": "accepted"}
        log.write_text(json.dumps({**lost, "id": "6a204bd8-9f2c-5d6f-8a52-1c0f5e3c8a11"}) + "\n")
        with log.open("a") as file:
            file.write(lines)
        monkeypatch.setattr(operator_route, "_REQUEST_S", 0.02)
        since = (datetime.now(UTC) - timedelta(days=2)).isoformat()
        total: dict[str, int] = {}
        missing: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(500):
            result = done(service, "reconcile", since=since, **cursor)
            for name in ("accepted", "inBuffer", "inPostgres", "missing", "unlogged"):
                total[name] = total.get(name, 0) + result[name]
            missing += result["missingIds"]
            if not result["more"]:
                break
            cursor = {"cursor": result["cursor"]}
        assert total == {"accepted": 4, "inBuffer": 1, "inPostgres": 2, "missing": 1, "unlogged": 0}
        assert missing == ["6a204bd8-9f2c-5d6f-8a52-1c0f5e3c8a11"]
        monkeypatch.setattr(operator_route, "_REQUEST_S", 8.0)
        recent = done(service, "reconcile")
        assert (recent["accepted"], recent["more"]) == (3, False)


def test_access_keys_are_made_listed_in_pages_and_revoked(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(operator_route, "_LISTED_KEYS", 2)
    audit_lines(capsys)
    made = [
        done(service, "access-keys", name=name, employerId=121, **more)
        for name, more in (("a", {}), ("b", {"employeeId": 7}), ("c", {"days": 730}))
    ]
    report = {"Authorization": f"Bearer {made[1]['key']}"}
    assert service.http.get("/odata/PointRecords", headers=report).status_code == 200
    first = send(service.http, "access-keys", {}).json_body["keys"]
    rest = send(service.http, "access-keys", {"before": first[-1]["id"]}).json_body["keys"]
    assert [(each["name"], each["role"], each["isValid"]) for each in first + rest] == [
        ("c", "employer", True),
        ("b", "employee", True),
        ("a", "employer", True),
    ]
    assert done(service, "access-keys", revoke=made[1]["id"]) == {"revoked": made[1]["id"]}
    assert service.http.get("/odata/PointRecords", headers=report).status_code == 401
    assert send(service.http, "access-keys", {}, report).status_code == 403
    lines = audit_lines(capsys)
    assert {(line["action"], line["by"]) for line in lines} == {("access-keys", "ada")}
    assert lines[1]["result"].keys() == {"id", "name", "expiresAt"}
    assert not [each for each in made if each["key"] in json.dumps(lines)]
