"""Runs against legacies with interfaces of their own, and with faulty settings."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import app
from chalicelib import container, integrator_wiring
from chalicelib.errors import InvalidError, MisconfiguredError, UnavailableError
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.messages.record_values import smallest_sample_record
from chalicelib.integrator.legacy.messages.response_outcome import judge
from tests.support.http_server import HttpServer, Request, Response
from tests.support.lambda_events import context, schedule_event
from tests.support.service import UNREACHABLE, Service, wired
from tests.support.tokens import operator_event

SOAP = {
    "LEGACY_CONTENT_TYPE": "text/xml; charset=utf-8",
    "LEGACY_BODY": """<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
  <register><employee>{{ employeeId }}</employee><at>{{ local.isoformat() }}</at>
  <device>{{ deviceId | default('') }}</device></register>
</s:Body></s:Envelope>""",
    "LEGACY_HEADERS": 'SOAPAction: "urn:register"',
    "LEGACY_DELIVERED": "status == `200` && contains(body, '<registered/>')",
    "LEGACY_DUPLICATE": "contains(body, 'already registered')",
    "LEGACY_RETRY": "contains(body, 'busy')",
    "LEGACY_REFUSED": "contains(body, ':Fault>')",
}


def fault(text: str) -> Response:
    return Response(500, body=f"<s:Fault><faultstring>{text}</faultstring></s:Fault>".encode())


def register(request: Request) -> Response:
    """Refuse employee 2, know employee 3, be busy for employee 4, register every other."""
    assert request.headers["soapaction"] == '"urn:register"'
    tree = ElementTree.fromstring(request.body)  # noqa: S314 - our own XML
    employee = tree.findtext(".//employee")
    assert tree.findtext(".//at") == "2026-11-22T08:00:00-03:00"
    faults = {"2": "unknown employee", "3": "already registered", "4": "busy"}
    return fault(faults[employee]) if employee in faults else Response(body=b"<registered/>")


def outcomes(service: Service) -> dict[int, tuple[str, int, str | None]]:
    """Return status, attempts and last log of each employee's record."""
    rows = service.rows(
        "SELECT employee_id, record.status, attempts, (SELECT log FROM integration_log"
        " WHERE point_id = record.id ORDER BY number DESC LIMIT 1) FROM point_record AS record"
    )
    return {employee: (status, attempts, log) for employee, status, attempts, log in rows}


def test_soap_legacy_gets_xml_and_its_responses_are_distinguished(
    variables: dict[str, str], service: Service
) -> None:
    with (
        HttpServer(register).running() as legacy,
        wired(variables | SOAP | {"LEGACY_URL": f"{legacy.origin}/soap"}),
    ):
        service.accept(range(1, 6))
        service.replicate()
        service.integrate()
    assert outcomes(service) == {
        1: ("INTEGRATED", 1, None),
        2: (
            "ERROR",
            1,
            "HTTP 500, judged by LEGACY_REFUSED: " + fault("unknown employee").body.decode(),
        ),
        3: (
            "INTEGRATED",
            1,
            "The legacy already had the record. HTTP 500: "
            + fault("already registered").body.decode(),
        ),
        4: ("ERROR", 0, "HTTP 500, judged by LEGACY_RETRY: " + fault("busy").body.decode()),
        5: ("INTEGRATED", 1, None),
    }
    assert {each.headers["content-type"] for each in legacy.requests} == {"text/xml; charset=utf-8"}
    assert len({each.headers["idempotency-key"] for each in legacy.requests}) == 5


def test_each_attempt_of_a_record_is_the_same_request(
    variables: dict[str, str], service: Service
) -> None:
    rest = {
        "LEGACY_METHOD": "PUT",
        "LEGACY_BODY": '{"at": {{ local | tojson }}, "device": {{ deviceId | tojson }}}',
        "LEGACY_KEY_HEADER": "",
    }
    statuses = [503, 500, 202]
    with (
        HttpServer(lambda _: Response(statuses.pop(0), body=b"{}")).running() as legacy,
        wired(
            variables
            | rest
            | {"LEGACY_URL": legacy.origin + "/employees/{employeeId}/punches/{id}"}
        ),
    ):
        (record_id,) = service.accept([7])
        service.replicate()
        for _ in range(3):
            service.integrate()
            service.advance_time(3_600)
    assert service.statuses() == {"INTEGRATED": 1}
    assert len(legacy.requests) == 3
    for request in legacy.requests:
        assert (request.method, request.path) == ("PUT", f"/employees/7/punches/{record_id}")
        assert json.loads(request.body) == {"at": "2026-11-22T08:00:00-03:00", "device": None}
        assert "idempotency-key" not in request.headers


def test_record_that_the_template_cannot_render_is_parked_and_blocks_no_other(
    variables: dict[str, str], service: Service
) -> None:
    strict = {
        "LEGACY_BODY": '{"device": {{ deviceId.upper() | tojson }}}',
        "MAX_ATTEMPTS": "2",
    }
    with (
        HttpServer(lambda _: Response(body=b"{}")).running() as legacy,
        wired(variables | strict | {"LEGACY_URL": legacy.origin}),
    ):
        service.post({**PUNCH, "employeeId": 1})
        # An attempt counts if a record that is sent later is delivered.
        for first in (2, 12):
            service.post(
                [
                    {**PUNCH, "employeeId": each, "deviceId": "gate"}
                    for each in range(first, first + 10)
                ]
            )
            service.replicate()
            service.integrate()
            service.advance_time(3_600)
    not_sent = "Not sent: LEGACY_BODY, line 1: 'deviceId' is undefined."
    assert outcomes(service) == {
        1: ("REJECTED", 2, not_sent),
        **dict.fromkeys(range(2, 22), ("INTEGRATED", 1, None)),
    }
    assert [each.body for each in legacy.requests] == [b'{"device": "GATE"}'] * 20


PUNCH = {"employerId": 121, "includedAt": "2026-11-22T08:00:00-03:00"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"LEGACY_BODY": "{\n{{ employee }}}"}, "LEGACY_BODY, line 2: employee is no property"),
        ({"LEGACY_BODY": "{\n\n{% if %}"}, "LEGACY_BODY, line 3: Expected an expression"),
        ({"LEGACY_BODY": "\n{{ 1 // 0 }}"}, "LEGACY_BODY, line 2: ZeroDivisionError"),
        ({"LEGACY_BODY": '"{{ deviceId }}"'}, "LEGACY_BODY: the body is not JSON: "),
        (
            {"LEGACY_BODY": "file:/nowhere.xml"},
            "LEGACY_BODY refers to a file that does not exist.$",
        ),
        (
            {"LEGACY_URL": "http://127.0.0.1/{employee}"},
            "LEGACY_URL has the placeholder {employee}",
        ),
        ({"LEGACY_HEADERS": "Host: x"}, "LEGACY_HEADERS must not set Host"),
        ({"LEGACY_RETRY": "status == 503"}, "LEGACY_RETRY is not a JMESPath expression"),
        ({"LEGACY_DUPLICATE": 'body == "dup"'}, "LEGACY_DUPLICATE uses dup, which a response"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_faulty_settings_end_the_run_before_it_claims_a_record(
    changes: dict[str, str], message: str, variables: dict[str, str], service: Service
) -> None:
    with HttpServer(lambda _: Response(body=b"{}")).running() as legacy:
        service.accept([1, 2])
        service.replicate()
        with (
            wired(variables | {"LEGACY_URL": legacy.origin} | changes),
            pytest.raises(MisconfiguredError, match=message) as caught,
        ):
            service.integrate()
        assert "\n" not in str(caught.value)
        assert outcomes(service) == {1: ("AWAITING", 0, None), 2: ("AWAITING", 0, None)}
        with wired(variables | {"LEGACY_URL": legacy.origin}):
            service.integrate()
    assert service.statuses() == {"INTEGRATED": 2}
    assert len(legacy.requests) == 2


def check(**members: Any) -> Any:
    return app.legacy_check(operator_event(**members), context())


def test_check_shows_a_request_and_judges_a_response_without_sending(
    unreachable: list[Any],
) -> None:
    with wired(UNREACHABLE | SOAP | {"LEGACY_URL": "https://hr.example/soap"}):
        shown = check()
        judged = check(response="HTTP/1.1 500 Oh\r\nX: y\r\n\r\n<s:Fault>busy</s:Fault>")
        with pytest.raises(InvalidError, match="The response must be text such as curl -i prints"):
            check(response="hello")
    assert shown["request"].startswith("POST /soap HTTP/1.1\nHost: hr.example\n")
    assert (shown["outcome"], shown["decided_by"]) == (None, None)
    assert (judged["outcome"], judged["decided_by"]) == ("OVERLOADED", "LEGACY_RETRY")
    assert judged["record"] == "The record is sent again later. No attempt is used up."
    assert judged["warnings"] == ["LEGACY_REFUSED holds, too, but LEGACY_RETRY is asked first."]
    assert unreachable == []


def test_check_sends_one_record_if_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        HttpServer(register).running() as legacy,
        wired(UNREACHABLE | SOAP | {"LEGACY_URL": f"{legacy.origin}/soap"}),
    ):
        sent = check(send=True, record={**PUNCH, "employeeId": 3, "deviceId": "secret gate"})
    assert (sent["outcome"], sent["decided_by"]) == ("DELIVERED", "LEGACY_DUPLICATE")
    assert len(legacy.requests) == 1
    assert "<employee>3</employee>" in legacy.requests[0].body.decode()
    logged = capsys.readouterr().out
    assert '"command": {"send": "True"}' in logged
    assert "secret gate" not in logged


def test_check_of_faulty_settings_says_what_is_wrong() -> None:
    with (
        wired(UNREACHABLE | {"LEGACY_URL": "https://hr.example/", "LEGACY_BODY": "{{ x }}"}),
        pytest.raises(MisconfiguredError, match="LEGACY_BODY, line 1: x is no property"),
    ):
        check()


def test_run_without_formats_and_conditions_reads_none(variables: dict[str, str]) -> None:
    with wired(variables):
        endpoint = integrator_wiring.legacy_endpoint()
    assert not endpoint.request.is_rendered
    assert endpoint.conditions is None


def test_secret_store_that_is_away_ends_the_run_as_unavailable(
    variables: dict[str, str], service: Service
) -> None:
    away = {"LEGACY_BODY": "ssm:/hr/body", "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:9"}
    with wired(variables | away), pytest.raises(UnavailableError):
        app.integrate(schedule_event(), context())


def test_corrected_template_and_condition_are_read_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body, condition = tmp_path / "body", tmp_path / "condition"
    body.write_text("[{{ employee }}]")
    condition.write_text("status == `202`\n")
    settings = {"LEGACY_URL": "http://x/", "LEGACY_BODY": f"file:{body}"}
    with wired(UNREACHABLE | settings | {"LEGACY_DELIVERED": f"file:{condition}"}):
        with pytest.raises(MisconfiguredError, match="employee is no property of a record"):
            integrator_wiring.legacy_endpoint()
        body.write_text("[{{ employeeId }}]")
        assert judged_by_202(integrator_wiring.legacy_endpoint()) == "LEGACY_DELIVERED"
        condition.write_text("status == `201`\n")
        assert judged_by_202(integrator_wiring.legacy_endpoint()) is None

        def away(_: object) -> None:
            raise UnavailableError("A secret of this service cannot be read now.")

        # A store that is away leaves the last values in use.
        monkeypatch.setattr(container, "read_settings", away)
        body.write_text("[]")
        endpoint = integrator_wiring.legacy_endpoint()
        assert endpoint.request.render(smallest_sample_record())[1].startswith(b"[9223")
    assert "the description of the legacy cannot be read again" in capsys.readouterr().out


def judged_by_202(endpoint: LegacyEndpoint) -> str | None:
    return judge(endpoint.conditions, 202, {}, b"", 0.0, is_whole=True).decided_by
