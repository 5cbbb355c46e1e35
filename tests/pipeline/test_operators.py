"""Operator commands: who may send them, that nothing is done for others, and the audit log."""

import json
from collections.abc import Callable
from typing import Any

import pytest

import app
from chalicelib import container
from chalicelib.errors import (
    ForbiddenError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    PunchClockError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.principal import Role
from local.tokens import make_token
from tests.support.lambda_events import context, schedule_event
from tests.support.service import UNREACHABLE, Service, wired
from tests.support.tokens import KEY, operator_event

# The members of a valid event of each command.
EVENTS: dict[str, dict[str, Any]] = {
    "release": {"quarantineId": 1},
    "replay": {"filter": "true"},
    "reconcile-period": {"since": "2026-11-22T08:00:00Z"},
    "access-keys": {"name": "payroll", "employerId": 121},
    "migrate": {},
    "erase": {"employer": 121, "employee": 7},
    "export": {"employer": 121, "employee": 7},
    "restore": {"since": "2026-11-22T08:00:00Z"},
    "legacy-check": {"send": False},
}
# The other commands read or write a store.
WITHOUT_STORES = {"legacy-check"}
OLD = {
    "at": "2020-06-01T00:00:00+00:00",
    "message": "accepted",
    "id": "01a202e9-b380-8e60-a7d5-43791f45f839",
}


def token(role: Role, key: str = KEY, **claims: Any) -> str:
    return make_token(key, role, 121, 7, **claims)


REFUSED: dict[str, tuple[Any, type[PunchClockError]]] = {
    "no token": (None, UnauthenticatedError),
    "an empty token": ("", UnauthenticatedError),
    "a number": (7, UnauthenticatedError),
    "no JWT": ("integration", UnauthenticatedError),
    "a header": (f"Bearer {token(Role.INTEGRATION)}", UnauthenticatedError),
    "employee": (token(Role.EMPLOYEE), ForbiddenError),
    "employer": (token(Role.EMPLOYER), ForbiddenError),
    "expired": (token(Role.INTEGRATION, lasts_s=-60), UnauthenticatedError),
    "foreign key": (token(Role.INTEGRATION, key="x" * 32), UnauthenticatedError),
    "no subject": (token(Role.INTEGRATION, subject=""), ForbiddenError),
    "a subject of two lines": (token(Role.INTEGRATION, subject="a\nb"), ForbiddenError),
}


@pytest.fixture
def invoke() -> Callable[[str, Any], Any]:
    """Return a callable that passes an event to a deployed function by name, as Lambda does."""
    handlers = {each.name: each.handler_string for each in app.app.pure_lambda_functions}

    def invoke_function(name: str, event: Any) -> Any:
        handler = getattr(app, handlers[name].removeprefix("app."))
        return handler(json.loads(json.dumps(event)), context())

    return invoke_function


def audit_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines of the audit log, and empty the captured output."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["message"] == "operator action"]


def test_every_function_without_a_route_is_an_operator_command_or_intake() -> None:
    assert {each.name for each in app.app.pure_lambda_functions} == {"intake", *EVENTS}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("action", EVENTS)
def test_a_command_without_an_operators_token_reaches_no_store(
    action: str,
    why: str,
    unreachable: list[Any],
    invoke: Callable[[str, Any], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent, error = REFUSED[why]
    event = EVENTS[action] | ({} if sent is None else {"token": sent})
    with pytest.raises(error) as refused:
        invoke(action, event)
    assert unreachable == []
    cached = {name for name, each in vars(container).items() if hasattr(each, "cache_info")}
    stores = {"dynamodb", "buffer", "database", "queried_database", "point_record_store"}
    assert stores <= cached
    assert not [name for name in stores if getattr(container, name).cache_info().currsize]
    (line,) = audit_lines(capsys)
    assert (line["action"], line["outcome"], line["level"]) == (action, "refused", "WARNING")
    assert line["error"] == refused.value.message
    assert line["took_ms"] >= 0
    assert line.get("role") == (why if why in set(Role) else line.get("role"))
    # The log shows no claim of a token that failed the check.
    assert ("by" in line) == (error is ForbiddenError)
    if isinstance(sent, str) and sent:
        assert sent not in json.dumps(line)
        assert sent not in refused.value.message


@pytest.mark.parametrize("action", sorted(EVENTS.keys() - WITHOUT_STORES))
def test_a_command_with_an_operators_token_reaches_a_store(
    action: str,
    unreachable: list[Any],
    invoke: Callable[[str, Any], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Exception) as failed:  # noqa: PT011 - each store fails in its own way
        invoke(action, operator_event(**EVENTS[action]))
    assert unreachable
    before, after = audit_lines(capsys)
    assert (before["outcome"], after["outcome"]) == ("started", "failed")
    for line in (before, after):
        assert (line["action"], line["by"], line["role"]) == (action, "ada", "integration")
        assert line.get("command", {}) == {name: str(each) for name, each in EVENTS[action].items()}
    error = failed.value
    expected = error.message if isinstance(error, UnavailableError) else type(error).__name__
    assert after["error"] == expected


@pytest.mark.parametrize("event", [None, [], "token", 7, {}, {"Token": "x"}, schedule_event()])
@pytest.mark.parametrize("action", EVENTS)
def test_an_event_without_a_token_is_refused(
    action: str, event: Any, unreachable: list[Any], invoke: Callable[[str, Any], Any]
) -> None:
    with pytest.raises(UnauthenticatedError):
        invoke(action, event)
    assert unreachable == []


@pytest.mark.parametrize("action", EVENTS)
@pytest.mark.parametrize(
    ("members", "target"),
    [
        ({"by": "Eve"}, "by"),
        ({"Filter": "true"}, "Filter"),
        ({"comment": 7}, "comment"),
        ({"comment": "x" * 201}, "comment"),
        ({"comment": "a\nb"}, "comment"),
    ],
)
def test_an_unknown_or_invalid_member_is_refused_by_name(
    action: str,
    members: dict[str, Any],
    target: str,
    unreachable: list[Any],
    invoke: Callable[[str, Any], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(InvalidError) as refused:
        invoke(action, operator_event(**EVENTS[action], **members))
    assert refused.value.target == target
    assert unreachable == []
    (line,) = audit_lines(capsys)
    assert (line["outcome"], line["by"]) == ("refused", "ada")


@pytest.mark.parametrize("changes", [{"JWT_KEY": ""}, {"JWKS_URL": "https://issuer.example/k"}])
def test_a_stage_with_invalid_key_settings_refuses_every_command(
    changes: dict[str, str], invoke: Callable[[str, Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with wired(UNREACHABLE | changes):
        for action, event in EVENTS.items():
            with pytest.raises(MisconfiguredError):
                invoke(action, operator_event(**event))
            (line,) = audit_lines(capsys)
            assert line["outcome"] == "refused"


def test_the_audit_log_has_the_operator_the_command_and_its_result(
    service: Service, dynamodb: Any, table: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamodb.put_item(TableName=table, Item={"id": {"S": "x"}, "record": {"S": "junk"}})
    service.replicate()
    ((number,),) = service.rows("SELECT id FROM quarantine")
    audit_lines(capsys)

    def last_line(action: str, **members: Any) -> dict[str, Any]:
        event = operator_event(**members)
        invoke(action, event)
        out = capsys.readouterr().out
        assert event["token"] not in out
        assert event["token"].rpartition(".")[2] not in out
        first, last = (json.loads(line) for line in out.splitlines())
        assert (first["outcome"], last["outcome"]) == ("started", "done")
        for line in (first, last):
            assert (line["message"], line["action"]) == ("operator action", action)
            assert (line["by"], line["role"], line["level"]) == ("ada", "integration", "INFO")
            assert line["run_id"]
            assert line.get("command") == first.get("command")
        assert "result" not in first
        assert last["took_ms"] >= first["took_ms"] >= 0
        return last

    assert last_line("migrate")["result"] == {"applied": []}
    assert last_line("release")["result"] == {"listed": 1}
    record = {"employeeId": 7, "employerId": 121, "includedAt": "2026-11-22T08:00:00-03:00"}
    line = last_line("release", quarantineId=number, record=record, comment="ticket 12")
    assert line["result"].keys() == {"id", "written"}
    assert (line["result"]["written"], line["comment"]) == (1, "ticket 12")
    assert line["command"] == {"quarantineId": str(number)}
    assert "2026-11-22" not in json.dumps(line)
    line = last_line("replay", filter="employeeId eq 7")
    assert (line["result"], line["command"]) == (
        {"replayed": 0, "more": False},
        {"filter": "employeeId eq 7"},
    )


def test_the_audit_log_has_the_error_of_a_failed_command(
    service: Service, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for event, error in (
        ({"quarantineId": 7}, NotFoundError),
        ({"quarantineId": "7"}, InvalidError),
        ({"quarantineId": True}, InvalidError),
        ({"quarantineId": 2**63}, InvalidError),
        ({"record": {}}, InvalidError),
    ):
        with pytest.raises(error) as failed:
            invoke("release", operator_event(**event))
        _, line = audit_lines(capsys)
        assert (line["outcome"], line["error"]) == ("failed", failed.value.message)


def test_log_level_does_not_suppress_the_audit_log(
    variables: dict[str, str], invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with wired(variables | {"LOG_LEVEL": "ERROR"}):
        invoke("migrate", operator_event())
    assert [line["outcome"] for line in audit_lines(capsys)] == ["started", "done"]


def test_a_long_filter_is_truncated_in_the_audit_log(
    service: Service, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidError, match="longer"):
        invoke("replay", operator_event(filter="x" * 1_000_000))
    lengths = [len(line["command"]["filter"]) for line in audit_lines(capsys)]
    assert lengths == [4_000, 4_000]


@pytest.mark.parametrize(
    "detail",
    [
        {"token": "x", "since": "2020-01-01T00:00:00Z", "filter": "true"},
        operator_event(since="2020-01-01"),
    ],
)
def test_a_schedule_ignores_its_event_and_returns_nothing(
    variables: dict[str, str], detail: dict[str, Any], capsys: Any, tmp_path: Any
) -> None:
    log = tmp_path / "log"
    log.write_text(json.dumps(OLD))
    forged = schedule_event() | detail | {"detail": detail}
    with wired(variables | {"ACCEPTED_LOG": f"file:{log}"}):
        for schedule in (app.replicate, app.integrate, app.reconcile, app.observe, app.store_keys):
            assert schedule(forged, context()) is None
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["message"] == "reconciled"]
    assert (line["accepted"], line["missing"]) == (0, 0)
    assert not [line for line in lines if line["message"] == "operator action"]


@pytest.mark.parametrize(
    ("members", "target"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": 7}, "until"),
        ({"since": "2026-11-22T08:00:00Z", "until": "2026-11-22T08:00:00Z"}, "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"until": "0001-01-01T00:00:00Z"}, "since"),
    ],
)
def test_an_invalid_period_is_refused(
    members: dict[str, Any], target: str, invoke: Any, variables: dict[str, str], tmp_path: Any
) -> None:
    with wired(variables | {"ACCEPTED_LOG": f"file:{tmp_path / 'log'}"}):
        with pytest.raises(InvalidError) as refused:
            invoke("reconcile-period", operator_event(**members))
        assert refused.value.target == target


def test_reconcile_period_reads_the_log_of_the_given_period(
    variables: dict[str, str], invoke: Any, tmp_path: Any
) -> None:
    log = tmp_path / "log"
    log.write_text(json.dumps(OLD))
    with wired(variables | {"ACCEPTED_LOG": f"file:{log}"}):
        result = invoke("reconcile-period", operator_event(since="2020-06-01T00:00:00Z"))
        assert result["missing_ids"] == [OLD["id"]]
        assert invoke("reconcile-period", operator_event())["accepted"] == 0
        until = {"since": "2020-05-31T23:00:00-01:00", "until": "2020-06-01T00:00:00.000001Z"}
        assert invoke("reconcile-period", operator_event(**until))["missing_ids"] == [OLD["id"]]
