"""What a check shows of a request, which responses it understands, and that it masks secrets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.errors import InvalidError
from chalicelib.integrator.legacy.legacy_check import Check, check
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.messages.request_format import read
from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions
from chalicelib.record_id import punch_id
from chalicelib.settings import Settings

PUNCH = {"employeeId": 7, "employerId": 121, "includedAt": "2026-11-22T08:00:00-03:00"}

PARKED = (
    "The record is sent again later. After 8 such attempts, each while other records are delivered,"
    " it is parked."
)


def endpoint(conditions: dict[str, str] | None = None, **values: Any) -> LegacyEndpoint:
    settings = Settings(**{"legacy_url": "https://hr.example/punches", **values})
    return LegacyEndpoint(
        settings.legacy_url,
        1,
        1,
        1,
        read(settings, lambda name: str(getattr(settings, name))),
        ResponseConditions(conditions) if conditions else None,
    )


def check_of(conditions: dict[str, str] | None = None, **arguments: Any) -> Check:
    return check(endpoint(conditions), 8, **arguments)


def test_default_request_is_shown_for_a_given_record() -> None:
    record_id = punch_id(121, 7, datetime(2026, 11, 22, 11, tzinfo=UTC))
    body = (
        f'{{"id" : "{record_id}", "employeeId" : 7, "employerId" : 121,'
        ' "includedAt" : "2026-11-22T11:00:00.000000Z", "utcOffsetMinutes" : -180,'
        ' "localDate" : "2026-11-22", "localTime" : "08:00:00"}'
    )
    shown = check_of(punch=PUNCH)
    assert shown.request.split("\n") == [
        "POST /punches HTTP/1.1",
        "Host: hr.example",
        "Accept: application/json",
        "Content-Type: application/json",
        f"Idempotency-Key: {record_id}",
        f"Content-Length: {len(body)}",
        "",
        body,
    ]
    assert shown == Check(shown.request, [])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"legacy_url": "https://hr.example/p?key=hush&v={employerId}&x"}, "/p?key=***&v=121&x "),
        (
            {"legacy_url": "https://hr.example/p?key=hush-{employerId}&v={employeeId}{employerId}"},
            "/p?key=***121&v=9223372036854775807121 ",
        ),
        ({"legacy_headers": "X-Api-Key: hush\nSOAPAction: a"}, "X-Api-Key: ***\nSOAPAction: a\n"),
        (
            {
                "legacy_content_type": "text/xml",
                "legacy_body": '<w:Password Type="x" xmlns:w="y">hush</w:Password>',
            },
            '<w:Password Type="x" xmlns:w="y">***</w:Password>',
        ),
        (
            {
                "legacy_content_type": "text/xml",
                "legacy_body": "<a><secret>x<![CDATA[hush</secret>]]>y</secret></a>",
            },
            "<a><secret>***</secret></a>",
        ),
        ({"legacy_body": '{"apiKey": "hu\\"sh", "e": 1}'}, '{"apiKey": ***, "e": 1}'),
        (
            {
                "legacy_content_type": "application/x-www-form-urlencoded",
                "legacy_body": "e=1&access_token=hush&f=2",
            },
            "e=1&access_token=***&f=2",
        ),
    ],
)
def test_secrets_of_a_request_are_masked(values: dict[str, Any], shown: str) -> None:
    request = check(endpoint(**values), 8).request
    assert shown in request
    assert "hush" not in request
    assert "sh" not in request.replace("hr.example/punches", "").partition("\n\n")[2]


@pytest.mark.parametrize(
    ("response", "outcome", "decided_by"),
    [
        ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}", "DELIVERED", None),
        ("HTTP/1.1 200 OK\nA: b\n\n{}\n", "DELIVERED", None),
        ("HTTP/2 409 \r\n\r\nalready registered", "DELIVERED", "LEGACY_DUPLICATE"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n", "OVERLOADED", None),
        ("HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 404 No\r\n\r\n", "REFUSED", None),
        ("HTTP/1.0 500", "FAILED", None),
        ("HTTP/1.1 200 OK\r\nX-State: Busy\r\n\r\n", "OVERLOADED", "LEGACY_RETRY"),
        ("409\nalready registered", "DELIVERED", "LEGACY_DUPLICATE"),
        # As curl -i --compressed prints it.
        (
            "HTTP/2 409 \r\nContent-Encoding: br\r\n\r\nalready registered",
            "DELIVERED",
            "LEGACY_DUPLICATE",
        ),
        (b"HTTP/2 409 \r\nContent-Encoding: br\r\n\r\n\x8balready registered", "REFUSED", None),
        ("  204", "DELIVERED", None),
        (b"\xef\xbb\xbfHTTP/1.1 204 No Content\r\n\r\n", "DELIVERED", None),
        ("\r\n\nHTTP/1.1 204 No Content\r\n\r\n", "DELIVERED", None),
        (
            b"HTTP/1.1 409 No\r\nContent-Type: text/plain\r\n\r\nalready registered \xe9",
            "DELIVERED",
            "LEGACY_DUPLICATE",
        ),
    ],
)
def test_response_in_any_form_is_judged(
    response: str | bytes, outcome: str, decided_by: str | None
) -> None:
    conditions = {
        "LEGACY_DUPLICATE": "contains(body, 'already registered')",
        "LEGACY_RETRY": "headers.\"x-state\" == 'Busy'",
    }
    result = check_of(conditions, response=response)
    assert (result.outcome, result.decided_by) == (outcome, decided_by)


@pytest.mark.parametrize(
    ("outcome", "response", "fate"),
    [
        ("DELIVERED", "204", "The record is integrated."),
        ("OVERLOADED", "503", "The record is sent again later. No attempt is used up."),
        ("REFUSED", "422", PARKED),
        ("FAILED", "500", PARKED),
    ],
)
def test_check_says_what_happens_to_the_record(outcome: str, response: str, fate: str) -> None:
    result = check_of(response=response)
    assert (result.outcome, result.record) == (outcome, fate)


def test_check_warns_of_what_is_probably_not_meant() -> None:
    strict = endpoint(legacy_body="[{{ latitude }}]", legacy_key_header="")
    assert check(strict, 8).warnings == [
        "A record without its optional properties is not sent: LEGACY_BODY, line 1: 'latitude' is"
        " undefined.",
        "LEGACY_KEY_HEADER is empty: the legacy must recognise a repeated record by other means.",
    ]
    both = {"LEGACY_DELIVERED": "status == `200`", "LEGACY_REFUSED": "contains(body, 'Fault')"}
    assert check_of(both, response="200\nFault").warnings == [
        "LEGACY_REFUSED holds, too, but LEGACY_DELIVERED is asked first."
    ]
    texts = {"LEGACY_DELIVERED": "contains(body, 'ok')", "LEGACY_RETRY": "body.busy"}
    assert check_of(texts, response='200\n{"ok": true, "busy": 1}').warnings == [
        "LEGACY_DELIVERED cannot judge this response: contains() does not take an object.",
        "LEGACY_RETRY cannot judge this response: its result is a number, not true or false.",
    ]


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ({"response": "hello"}, "response"),
        ({"response": ""}, "response"),
        ({"response": 7}, "response"),
        ({"send": "yes"}, "send"),
        ({"send": True, "response": "200"}, "response"),
        ({"punch": {"employeeId": 7}}, "employerId"),
        ({"punch": "x"}, None),
    ],
)
def test_malformed_argument_is_refused_by_name(
    arguments: dict[str, Any], target: str | None
) -> None:
    with pytest.raises(InvalidError) as caught:
        check_of(**arguments)
    assert caught.value.target == target


def test_record_that_cannot_be_sent_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidError, match=r"LEGACY_BODY, line 1: 'deviceId' is undefined\."):
        check(endpoint(legacy_body="[{{ deviceId | length }}]"), 8, punch=PUNCH)
