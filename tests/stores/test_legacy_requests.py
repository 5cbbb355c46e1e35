"""Requests in the operator's format, and responses judged by the operator's conditions."""

import gzip
import json
import socket
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.messages.request_format import read
from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.settings import Settings
from tests.support.scripted_server import SUCCESS, ScriptedServer, connection_to, send

RECORD: dict[str, Any] = {
    "id": "01a202e9-b380-8e60-a7d5-43791f45f839",
    "employeeId": 7,
    "employerId": 121,
    "includedAt": "2026-11-22T11:00:00.000000Z",
    "utcOffsetMinutes": -180,
    "localDate": "2026-11-22",
    "localTime": "08:00:00",
    "deviceId": "Zoë's <gate>",
}
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
SOAP: dict[str, Any] = {
    "legacy_method": "PUT",
    "legacy_content_type": "text/xml; charset=utf-8",
    "legacy_body": "<punch e='{{ employeeId }}'>{{ deviceId }}"
    " {{ local.strftime('%H:%M') }}</punch>",
    "legacy_headers": 'SOAPAction: "urn:register"\nX-Tenant: 7\nX-Empty:',
    "legacy_key_header": "X-Request-Id",
}


def connection(
    base: str,
    url: str,
    conditions: dict[str, str],
    *,
    call_timeout_s: float = 5.0,
    **values: str,
) -> LegacyConnection:
    settings = Settings(legacy_url=base.partition("/point")[0] + url, **values)  # type: ignore[arg-type]
    endpoint = LegacyEndpoint(
        settings.legacy_url,
        1.0,
        10.0,
        call_timeout_s,
        read(settings, lambda name: str(getattr(settings, name))),
        ResponseConditions(conditions) if conditions else None,
    )
    return LegacyConnection(endpoint)


def send_record(connection: LegacyConnection, **changes: Any) -> CallResult:
    record = {**RECORD, **changes}
    present = {name: each for name, each in record.items() if each is not None}
    return connection.send(record["id"], json.dumps(present, ensure_ascii=False).encode())


def test_get_has_the_record_in_its_url_and_no_body() -> None:
    url = "/punch?badge={employeeId}&day={localDate}&at={localTime}&ref={id}"
    target = f"/punch?badge=7&day=2026-11-22&at=08%3A00%3A00&ref={RECORD['id']}"
    with ScriptedServer(ACCEPTED, ACCEPTED).running() as server:
        legacy = connection(
            server.url, url, {"LEGACY_DELIVERED": "status == `202`"}, legacy_method="GET"
        )
        results = [send_record(legacy), send_record(legacy)]
        legacy.close()
    assert [each.outcome for each in results] == [Outcome.DELIVERED] * 2
    host = server.url.split("/")[2]
    assert (
        server.requests
        == [
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: punch-clock\r\n"
            "Accept-Encoding: identity\r\n"
            "Accept: */*\r\nCache-Control: no-cache\r\n"
            f"Idempotency-Key: {RECORD['id']}\r\n\r\n".encode()
        ]
        * 2
    )


def test_default_request_on_the_wire() -> None:
    with ScriptedServer(SUCCESS).running() as server:
        assert send(connection_to(server.url)).outcome is Outcome.DELIVERED
    host = server.url.split("/")[2]
    assert server.requests == [
        b"POST /point-records?unit=7 HTTP/1.1\r\n"
        b"Host: %s\r\n"
        b"User-Agent: punch-clock\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Accept: application/json\r\n"
        b"Content-Type: application/json\r\n"
        b"Idempotency-Key: a-key\r\n"
        b"Content-Length: 15\r\n\r\n"
        b'{"id": "a-key"}' % host.encode()
    ]


def test_request_in_the_operators_format_on_the_wire() -> None:
    conditions = {"LEGACY_DELIVERED": "status == `202`"}
    with ScriptedServer(ACCEPTED, ACCEPTED).running() as server:
        legacy = connection(server.url, "/e/{employeeId}/p?d={deviceId}", conditions, **SOAP)
        assert send_record(legacy).outcome is Outcome.DELIVERED
        assert send_record(legacy, employeeId=8, deviceId="x/y").outcome is Outcome.DELIVERED
    first, second = server.requests
    head, _, body = first.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "PUT /e/7/p?d=Zo%C3%AB%27s%20%3Cgate%3E HTTP/1.1"
    assert lines[2:] == [
        "User-Agent: punch-clock",
        "Accept-Encoding: identity",
        "Accept: */*",
        "Content-Type: text/xml; charset=utf-8",
        'SOAPAction: "urn:register"',
        "X-Tenant: 7",
        "X-Empty:",
        f"X-Request-Id: {RECORD['id']}",
        f"Content-Length: {len(body)}",
    ]
    assert body.decode() == "<punch e='7'>Zoë&#39;s &lt;gate&gt; 08:00</punch>"
    assert second.startswith(b"PUT /e/8/p?d=x%2Fy HTTP/1.1\r\n")
    assert second.endswith(b"<punch e='8'>x/y 08:00</punch>")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [("user-agent: Acme HR/1", "user-agent: Acme HR/1"), ("User-Agent:", "User-Agent:")],
)
def test_user_agent_may_be_the_operators(headers: str, expected: str) -> None:
    with ScriptedServer(SUCCESS).running() as server:
        legacy = connection(server.url, "/p", {}, legacy_headers=headers)
        assert send_record(legacy).outcome is Outcome.DELIVERED
    lines = server.requests[0].decode().split("\r\n")
    assert [each for each in lines if each.lower().startswith("user-agent")] == [expected]


def test_request_without_a_key_header() -> None:
    with ScriptedServer(SUCCESS, SUCCESS).running() as server:
        legacy = connection(server.url, "/p", {}, legacy_key_header="", legacy_method="PATCH")
        for _ in range(2):
            assert send_record(legacy).outcome is Outcome.DELIVERED
    for request in server.requests:
        assert request.startswith(b"PATCH /p HTTP/1.1\r\n")
        assert RECORD["id"].encode() not in request.partition(b"\r\n\r\n")[0]


def test_record_from_which_no_request_can_be_made_is_not_sent_and_the_next_one_is() -> None:
    with ScriptedServer(SUCCESS, SUCCESS).running() as server:
        legacy = connection(
            server.url, "/p/{employeeId}", {}, legacy_body="[{{ deviceId|length }}]"
        )
        assert send_record(legacy).outcome is Outcome.DELIVERED
        unsendable = send_record(legacy, employeeId=8, deviceId=None)
        assert send_record(legacy, employeeId=9).outcome is Outcome.DELIVERED
    assert replace(unsendable, latency_s=0) == CallResult(
        Outcome.REFUSED, 0, log="Not sent: LEGACY_BODY, line 1: 'deviceId' is undefined."
    )
    assert [each.split()[1] for each in server.requests] == [b"/p/7", b"/p/9"]


FAULT = b"<s:Envelope><s:Body><s:Fault><faultcode>%s</faultcode></s:Fault></s:Body></s:Envelope>"
CONDITIONS = {
    "LEGACY_DELIVERED": "status == `202` || body.ok == `true`",
    "LEGACY_DUPLICATE": "status == `409` && contains(body, 'already registered')",
    "LEGACY_RETRY": "contains(body, 'Server')",
    "LEGACY_REFUSED": "contains(body, ':Fault>')",
}


def response(status: str, body: bytes, *fields: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {length or len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("answer", "outcome", "decided_by"),
    [
        (ACCEPTED, Outcome.DELIVERED, "LEGACY_DELIVERED"),
        (response("200 OK", b'{"ok": true}'), Outcome.DELIVERED, "LEGACY_DELIVERED"),
        (response("200 OK", b'{"ok": false}'), Outcome.FAILED, None),
        (response("200 OK", b"<html>Log in"), Outcome.FAILED, None),
        (response("204 No Content", b""), Outcome.DELIVERED, None),
        (response("200 OK", b'{"message": "success"}'), Outcome.DELIVERED, None),
        (response("200 OK", FAULT % b"Client"), Outcome.REFUSED, "LEGACY_REFUSED"),
        (response("500 Oh", FAULT % b"Client"), Outcome.REFUSED, "LEGACY_REFUSED"),
        (response("500 Oh", FAULT % b"Server"), Outcome.OVERLOADED, "LEGACY_RETRY"),
        (response("409 No", b"already registered"), Outcome.DELIVERED, "LEGACY_DUPLICATE"),
        (response("409 No", b"another conflict"), Outcome.REFUSED, None),
        (response("503 Busy", b""), Outcome.OVERLOADED, None),
        (
            response(
                "409 No", gzip.compress(b"already registered", mtime=0), "Content-Encoding: gzip"
            ),
            Outcome.DELIVERED,
            "LEGACY_DUPLICATE",
        ),
        # Labelled, but not compressed.
        (
            response("200 OK", b'{\n  "ok": true\n}', "Content-Encoding: gzip"),
            Outcome.DELIVERED,
            "LEGACY_DELIVERED",
        ),
        (
            response("409 No", b"n\xe3o: already registered", "Content-Encoding: gzip"),
            Outcome.DELIVERED,
            "LEGACY_DUPLICATE",
        ),
        # A part of a body: no condition that reads it may judge it.
        (response("409 No", b"already registered", length=100), Outcome.REFUSED, None),
        (response("202 OK", b"x", length=100), Outcome.OVERLOADED, None),
        (
            response("409 No", b"already registered" + b" " * 1_000_000),
            Outcome.REFUSED,
            None,
        ),
        (
            response(
                "409 No",
                gzip.compress(b"already registered" + b" " * 2_000_000, mtime=0),
                "Content-Encoding: gzip",
            ),
            Outcome.REFUSED,
            None,
        ),
    ],
)
def test_response_is_judged_by_conditions_and_then_by_the_rules(
    answer: bytes, outcome: Outcome, decided_by: str | None
) -> None:
    def respond(peer: socket.socket) -> None:
        peer.sendall(answer)

    with ScriptedServer(respond).running() as server:
        result = send_record(connection(server.url, "/p", CONDITIONS))
    assert (result.outcome, result.decided_by) == (outcome, decided_by)


NO_ERROR = {"LEGACY_DELIVERED": "status == `200` && !(contains(body, '<error>'))"}
UNKNOWN = gzip.compress(b"<r>" + bytes(range(32, 127)) + b"<error>unknown employee</error></r>")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        *((f"Content-Encoding: {each}", UNKNOWN[10:-8]) for each in ("br", "zstd", "gzip, br")),
        ("Content-Encoding: gzip\r\nContent-Encoding: br", UNKNOWN),
        ("Content-Encoding: gzip", UNKNOWN[:-40]),
        ("Content-Encoding: gzip", UNKNOWN + UNKNOWN[:20]),
    ],
    ids=["br", "zstd", "gzip and br", "gzip and br in two lines", "cut", "cut in a second member"],
)
def test_a_body_that_cannot_be_read_to_its_end_is_no_delivery_for_want_of_an_error(
    fields: str, body: bytes
) -> None:
    with ScriptedServer(response("200 OK", body, fields)).running() as server:
        result = send_record(connection(server.url, "/p", NO_ERROR))
    assert (result.outcome, result.decided_by) == (Outcome.FAILED, None)
    assert (result.log or "").startswith("Judged without LEGACY_DELIVERED, since the body")


BY_STATUS = {"LEGACY_DELIVERED": "status == `200`", "LEGACY_RETRY": "status == `409`"}
BROTLI = "Content-Encoding: br"


@pytest.mark.parametrize(
    ("answer", "outcome", "decided_by"),
    [
        (response("200 OK", UNKNOWN, BROTLI), Outcome.DELIVERED, "LEGACY_DELIVERED"),
        (response("409 No", UNKNOWN, BROTLI), Outcome.OVERLOADED, "LEGACY_RETRY"),
        (response("409 No", b"part", length=100), Outcome.OVERLOADED, "LEGACY_RETRY"),
        (response("409 No", b" " * 2_000_000), Outcome.OVERLOADED, "LEGACY_RETRY"),
        (response("422 No", UNKNOWN, BROTLI), Outcome.REFUSED, None),
        # A 2xx that broke off is no response.
        (response("200 OK", b"part", length=100), Outcome.OVERLOADED, None),
    ],
    ids=["delivered", "busy", "cut", "too long", "refused", "cut 200"],
)
def test_conditions_that_read_no_body_judge_what_cannot_be_read(
    answer: bytes, outcome: Outcome, decided_by: str | None
) -> None:
    def respond(peer: socket.socket) -> None:
        peer.sendall(answer)

    with ScriptedServer(respond).running() as server:
        result = send_record(connection(server.url, "/p", BY_STATUS))
    assert (result.outcome, result.decided_by) == (outcome, decided_by)
    assert "Judged without" not in (result.log or "")


def test_condition_that_reads_no_body_judges_one_that_never_ends() -> None:
    def respond(peer: socket.socket) -> None:
        peer.sendall(response("409 No", b"part", length=100))
        peer.recv(1)  # until the client gives up

    with ScriptedServer(respond).running() as server:
        result = send_record(connection(server.url, "/p", BY_STATUS, call_timeout_s=0.5))
    assert (result.outcome, result.decided_by) == (Outcome.OVERLOADED, "LEGACY_RETRY")


@pytest.mark.parametrize("conditions", [{}, {"LEGACY_DELIVERED": "body.message == 'success'"}])
def test_success_in_gzip_without_its_end_is_a_delivery_by_the_rules(
    conditions: dict[str, str],
) -> None:
    body = gzip.compress(b'{"message": "success"}')[:-8]
    with ScriptedServer(response("200 OK", body, "Content-Encoding: gzip")).running() as server:
        result = send_record(connection(server.url, "/p", conditions))
    assert (result.outcome, result.decided_by) == (Outcome.DELIVERED, None)


def test_a_retry_by_a_condition_waits_as_long_as_the_legacy_asks() -> None:
    answer = response("200 OK", FAULT % b"Server", "Retry-After: 17")
    with ScriptedServer(answer).running() as server:
        result = send_record(connection(server.url, "/p", CONDITIONS))
    assert (result.outcome, result.retry_after_s) == (Outcome.OVERLOADED, 17)
