"""Conditions on responses: what each decides, what they see, and what a faulty one does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions, read
from chalicelib.integrator.legacy.messages.response_outcome import OUTCOME_OF_CONDITION
from chalicelib.integrator.legacy.messages.response_outcome import judge as outcome_of_call
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.settings import SettingsError

DELIVERED, OVERLOADED = Outcome.DELIVERED, Outcome.OVERLOADED
FAILED, REFUSED = Outcome.FAILED, Outcome.REFUSED

SOAP_OK = b"""\xef\xbb\xbf<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Body>
<RegisterPunchResponse><Result>0</Result></RegisterPunchResponse></s:Body></s:Envelope>"""
SOAP_FAULT = b"""<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Body><s:Fault>
<faultcode>s:Client</faultcode><faultstring>unknown employee</faultstring></s:Fault></s:Body>
</s:Envelope>"""
SOAP_BUSY = SOAP_FAULT.replace(b"s:Client", b"s:Server").replace(b"unknown employee", b"busy")
SOAP = {
    "LEGACY_DELIVERED": "status == `200` && contains(body, '<RegisterPunchResponse>')",
    "LEGACY_RETRY": "contains(body, '<faultcode>s:Server')",
    "LEGACY_REFUSED": "contains(body, ':Fault>')",
}
OK_FLAG = {"LEGACY_DELIVERED": "body.ok == `true`"}
ACCEPTED = {"LEGACY_DELIVERED": "status == `202`"}
ALREADY = {"LEGACY_DUPLICATE": "status == `409` && contains(body.error, 'already registered')"}
IN_PROGRESS = {"LEGACY_RETRY": "status == `409` && headers.\"x-state\" == 'in progress'"}


def judge(
    conditions: dict[str, str], status: int, body: bytes, **headers: str
) -> CallResult | None:
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    return ResponseConditions(conditions).judge(status, named, body, 0.25, 7.0, is_whole=True)


@pytest.mark.parametrize(
    ("conditions", "status", "body", "headers", "outcome", "setting"),
    [
        (ACCEPTED, 202, b"", {}, DELIVERED, "LEGACY_DELIVERED"),
        (ACCEPTED, 200, b'{"message": "success"}', {}, None, None),
        (ACCEPTED, 422, b"", {}, None, None),
        (OK_FLAG, 200, b'{"ok": true}', {}, DELIVERED, "LEGACY_DELIVERED"),
        (OK_FLAG, 200, b'{"ok": "true"}', {}, None, None),
        (OK_FLAG, 500, b"", {}, None, None),
        (SOAP, 200, SOAP_OK, {"content_type": "text/xml"}, DELIVERED, "LEGACY_DELIVERED"),
        (SOAP, 200, SOAP_FAULT, {}, REFUSED, "LEGACY_REFUSED"),
        (SOAP, 500, SOAP_FAULT, {}, REFUSED, "LEGACY_REFUSED"),
        (SOAP, 500, SOAP_BUSY, {}, OVERLOADED, "LEGACY_RETRY"),
        (SOAP, 502, b"<html>Bad Gateway</html>", {}, None, None),
        (ALREADY, 409, b'{"error": "punch already registered"}', {}, DELIVERED, "LEGACY_DUPLICATE"),
        (ALREADY, 409, b'{"error": "conflict"}', {}, None, None),
        (ALREADY, 409, b"", {}, None, None),
        (ALREADY, 200, b'{"message": "success"}', {}, None, None),
        (IN_PROGRESS, 409, b"", {"x_state": "in progress"}, OVERLOADED, "LEGACY_RETRY"),
        (IN_PROGRESS, 409, b"", {}, None, None),
        (ALREADY | OK_FLAG, 409, b'{"error": "already registered"}', {}, DELIVERED, "LEGACY_DUPL"),
        # Asked in order: the first that holds decides.
        ({"LEGACY_REFUSED": "status >= `200`", **ACCEPTED}, 202, b"", {}, DELIVERED, "LEGACY_DELI"),
        ({"LEGACY_REFUSED": "`true`", **IN_PROGRESS}, 409, b"", {}, REFUSED, "LEGACY_REFUSED"),
    ],
)
def test_response_is_judged_by_the_first_condition_that_holds(
    conditions: dict[str, str],
    status: int,
    body: bytes,
    headers: dict[str, str],
    outcome: Outcome | None,
    setting: str | None,
) -> None:
    result = judge(conditions, status, body, **headers)
    assert (result and result.outcome) == outcome
    if result and setting:
        assert (result.decided_by or "").startswith(setting)
    if result:
        assert (result.http_status, result.latency_s) == (status, 0.25)


@pytest.mark.parametrize(
    ("conditions", "status", "body", "outcome"),
    [
        (ACCEPTED, 200, b'{"message": "success"}', DELIVERED),
        (ACCEPTED, 204, b"", DELIVERED),
        (ACCEPTED, 422, b"", REFUSED),
        (ACCEPTED, 503, b"", OVERLOADED),
        (OK_FLAG, 200, b'{"message": "busy"}', FAILED),
        (OK_FLAG, 200, b'{"ok": false}', FAILED),
        (OK_FLAG, 201, b"{}", FAILED),  # would be a delivery without LEGACY_DELIVERED
        (ALREADY, 201, b"{}", DELIVERED),
    ],
)
def test_what_no_condition_decides_falls_to_the_default_rules(
    conditions: dict[str, str], status: int, body: bytes, outcome: Outcome
) -> None:
    result = outcome_of_call(ResponseConditions(conditions), status, {}, body, 0.25, is_whole=True)
    assert (result.outcome, result.decided_by) == (outcome, None)


@pytest.mark.parametrize(
    "condition",
    [
        "status == `200`",
        "status >= `500` || status == `409`",
        "!(status == `200`) && headers.\"x-state\" == 'busy'",
        "contains(headers.body, 'x')",
        "headers.body == 'body'",
        "headers | body == 'x'",
        "length(headers.*) > `3`",
        "contains(values(headers), 'body')",
        "{body: status}.body == `200`",
        "[status, headers][0] == `200`",
        "sort_by(headers.x, &body)[0] == `1`",
        "headers.x[?body == 'x'] | [0] == `1`",
        "`[1, 2]`[0] == `1`",
        "`true`",
    ],
)
def test_condition_that_reads_no_body_is_asked_of_any(condition: str) -> None:
    assert ResponseConditions({"LEGACY_RETRY": condition}).need_whole_body == ()


@pytest.mark.parametrize(
    "condition",
    [
        "body",
        "body == `null`",
        "body.ok == `true`",
        "status == `202` || body.ok == `true`",
        "status == `200` && !(contains(body, '<error>'))",
        "headers.x == body.x",
        "body.*.x | length(@) > `0`",
        "{a: status, b: body}.a == `200`",
        "[status, body][0] == `200`",
        "map(&@, [body])[0] == 'x'",
        # They see the whole response.
        "@",
        "@.body == 'x'",
        "@ | body == 'x'",
        "@ == `{}`",
        "contains(to_string(@), 'x')",
        "contains(values(@), 'x')",
        "length(*) > `2`",
        "* | [2] == 'x'",
        "[*] == `[]`",
        "[] == `[]`",
        "[?status] == `[]`",
        "[0] == `1`",
        "[:1] == `[]`",
        "map(&body, [@])[0] == 'x'",
    ],
)
def test_condition_that_may_read_the_body_is_asked_only_of_a_whole_one(condition: str) -> None:
    assert ResponseConditions({"LEGACY_RETRY": condition}).need_whole_body == ("LEGACY_RETRY",)


CONFLICT_IS_BUSY = {"LEGACY_RETRY": "status == `409`"}


@pytest.mark.parametrize(
    ("conditions", "status", "outcome", "setting", "not_asked"),
    [
        ({"LEGACY_DELIVERED": "status == `200`"}, 200, DELIVERED, "LEGACY_DELIVERED", ""),
        (CONFLICT_IS_BUSY, 409, OVERLOADED, "LEGACY_RETRY", ""),
        (CONFLICT_IS_BUSY, 400, REFUSED, None, ""),
        (CONFLICT_IS_BUSY | ACCEPTED, 409, OVERLOADED, "LEGACY_RETRY", ""),
        # One that was asked before it might have held.
        (CONFLICT_IS_BUSY | ALREADY, 409, REFUSED, None, "LEGACY_DUPLICATE, LEGACY_RETRY"),
        (CONFLICT_IS_BUSY | OK_FLAG, 409, REFUSED, None, "LEGACY_DELIVERED, LEGACY_RETRY"),
        (ACCEPTED | ALREADY, 202, DELIVERED, "LEGACY_DELIVERED", ""),
        (ACCEPTED | ALREADY, 409, REFUSED, None, "LEGACY_DUPLICATE"),
        ({"LEGACY_DELIVERED": "!body"}, 200, FAILED, None, "LEGACY_DELIVERED"),
    ],
)
def test_of_a_body_that_is_not_whole_conditions_are_asked_until_one_reads_it(
    conditions: dict[str, str],
    status: int,
    outcome: Outcome,
    setting: str | None,
    not_asked: str,
) -> None:
    result = outcome_of_call(
        ResponseConditions(conditions), status, {}, b"\x0bok", 0.25, is_whole=False
    )
    assert (result.outcome, result.decided_by) == (outcome, setting)
    log = result.log or ""
    assert log.startswith(f"Judged without {not_asked}, since the body") == bool(not_asked)
    assert ("Judged without" in log) == bool(not_asked)


@pytest.mark.parametrize(
    ("condition", "is_whole", "reason"),
    [
        ("body.ok == `true`", False, "LEGACY_DELIVERED was not asked"),
        ("body.ok == `true`", True, "LEGACY_DELIVERED does not hold"),
        ("status == `202`", False, "LEGACY_DELIVERED does not hold"),
    ],
)
def test_log_says_whether_the_condition_of_a_delivery_was_asked(
    condition: str, is_whole: bool, reason: str
) -> None:
    conditions = ResponseConditions({"LEGACY_DELIVERED": condition})
    result = outcome_of_call(conditions, 200, {}, b"{}", 0.25, is_whole=is_whole)
    assert result.outcome is FAILED
    assert f'HTTP 200, but it has no "message", and {reason}: {{}}' in (result.log or "")


def test_log_of_a_duplicate_says_that_the_legacy_already_had_the_record() -> None:
    result = judge(ALREADY, 409, b'{"error": "already registered"}')
    assert result
    assert result.log == (
        'The legacy already had the record. HTTP 409: {"error": "already registered"}'
    )
    assert result.retry_after_s is None


def test_a_retry_keeps_the_requested_wait_and_tells_refused_credentials() -> None:
    result = judge({"LEGACY_RETRY": "status == `401`"}, 401, b"no\0")
    assert result == CallResult(
        OVERLOADED,
        0.25,
        401,
        "HTTP 401, judged by LEGACY_RETRY: no\ufffd",
        7.0,
        True,
        "LEGACY_RETRY",
    )


def test_log_of_a_long_response_is_cut() -> None:
    result = judge({"LEGACY_REFUSED": "status == `400`"}, 400, b"x" * 1_000_000)
    assert result
    assert len(result.log or "") == 8_000


@pytest.mark.parametrize(
    ("body", "content_type", "condition"),
    [
        (b'{"n": 409}', "", "body.n == `409`"),
        (b"\xef\xbb\xbf{}", "application/json", "body == `{}`"),
        ('{"é": 1}'.encode("utf-16"), "application/json", 'body."é" == `1`'),
        (b'{"\xe9": 1}', "application/json", 'body."\u00e9" == `1`'),
        (b'{"n": %s}' % (b"9" * 100_000), "", "type(body.n) == 'number'"),
        (b'{"a": "two\nlines", "n": 1}\r\n\0', "", "body.n == `1`"),
        (b"stored\0", "", "starts_with(body, 'stored')"),
        (b"[" * 100_000, "", "starts_with(body, '[[')"),
        (b"", "", "body == ''"),
        (b"null", "", "body == `null`"),
        (b"Zo\xc3\xab", "text/plain", "body == 'Zoë'"),
        (b"Zo\xeb", "text/plain", "body == 'Zoë'"),
        (b"Zo\xeb", "text/plain; charset=ISO-8859-1", "body == 'Zoë'"),
        ("Zoë".encode("utf-16"), "text/plain", "body == 'Zoë'"),
        ("שלום".encode("cp1255"), 'text/plain;Charset="windows-1255"', "body == 'שלום'"),
        (
            b'<?xml version="1.0" encoding="ISO-8859-15"?><a>\xa4</a>',
            "text/xml",
            "contains(body, '>€<')",
        ),
        (b"Zo\xc3\xab", "text/plain; charset=unknown", "body == 'Zoë'"),
        # The declaration is in ASCII, so the text is not in the UTF-16 or EBCDIC that it declares.
        *(
            (
                f'<?xml version="1.0" encoding="{name}"?><a>Zoë</a>'.encode(),
                type_,
                "contains(body, '>Zoë<')",
            )
            for name in ("utf-16", "UTF-16LE", "utf-32", "cp037")
            for type_ in ("text/xml", f"text/xml; charset={name}")
        ),
        (
            b'<?xml version="1.0" encoding="utf-16"?><a>Zo\xeb</a>',
            "text/xml",
            "contains(body, '>Zoë<')",
        ),
        (b"<a>Zo\xc3\xab</a>", "text/xml; charset=utf-16", "contains(body, '>Zoë<')"),
        # Without a byte order mark, the NULs show the encoding.
        *(
            ("<a>Zoë</a>".encode(name), type_, "body == '<a>Zoë</a>'")
            for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
            for type_ in ("", "text/xml; charset=utf-8", f"text/xml; charset={name[:6]}")
        ),
        ('{"a": 1}'.encode("utf-16-be"), "application/json", "body.a == `1`"),
        ("שלום, 1 2".encode("utf-16-be"), "text/plain; charset=utf-16", "body == 'שלום, 1 2'"),
        ("שלום, 1 2".encode("utf-16-le"), "text/plain; charset=utf-16", "body == 'שלום, 1 2'"),
        ("שלום, 1 2".encode("utf-32-be"), "text/plain; charset=utf-32", "body == 'שלום, 1 2'"),
        ("שלום".encode("utf-16-le"), "text/plain; charset=utf-16", "body == 'שלום'"),
        (b'\0{"a": 1}', "", "body.a == `1`"),
        (b"a\0", "", "starts_with(body, 'a')"),
        (b'{"a": 1}', "application/json; charset=utf-16", "body.a == `1`"),
        # Codecs that are none of text, or not of the web.
        (b"68656c6c6f", "text/plain; charset=hex", "body == `68656` || body == '68656c6c6f'"),
        (b"\\x41", "text/plain; charset=unicode_escape", "body == '\\x41'"),
        (b"xn--" + b"a" * 10_000, "text/plain; charset=punycode", "starts_with(body, 'xn--')"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_condition_sees_json_or_text_in_its_encoding(
    body: bytes, content_type: str, condition: str
) -> None:
    result = judge({"LEGACY_DELIVERED": condition}, 200, body, content_type=content_type)
    assert result
    assert result.outcome is DELIVERED


@pytest.mark.parametrize(
    ("condition", "body", "reason"),
    [
        ("contains(body.error, 'x')", b"{}", "contains() does not take a value that is missing"),
        ("contains(body, `null`)", b"some secret text", "TypeError"),
        ("body.ok", b'{"ok": "false"}', "its result is a text, not true or false"),
        ("body.ok", b'{"ok": 1}', "its result is a number, not true or false"),
        ("body.list", b'{"list": [1]}', "its result is a list, not true or false"),
        ("length(body) > `1`", b"7", "length() does not take a number"),
    ],
)
def test_condition_that_cannot_judge_does_not_hold_and_is_logged_once(
    condition: str, body: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from chalicelib import telemetry  # noqa: PLC0415 - its handler writes to the captured output

    telemetry.logger.handlers.clear()  # one of another test writes to what was captured there
    telemetry.configure("INFO")
    conditions = ResponseConditions({"LEGACY_DUPLICATE": condition, "LEGACY_RETRY": "`true`"})
    for _ in range(3):
        result = conditions.judge(200, {}, body, 0.1, None, is_whole=True)
        assert result
        assert result.decided_by == "LEGACY_RETRY"
    telemetry.logger.handlers.clear()
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["level"], line["setting"], line["reason"]) == (
        "WARNING",
        "LEGACY_DUPLICATE",
        reason,
    )
    assert "secret" not in str(line)


@pytest.mark.parametrize(
    "condition",
    [
        "starts_with(to_string(status), '2')",
        "body.status == '200'",
        "body.headers.\"X-State\" == 'a'",
        "contains(`[200, 201]`, status)",
        "status != body.expected",
        "headers.location == 'Login'",
    ],
)
def test_similar_condition_that_may_hold_is_accepted(condition: str) -> None:
    assert judge({"LEGACY_RETRY": condition}, 418, b"{}") in (
        None,
        judge({"LEGACY_RETRY": "`true`"}, 418, b"{}"),
    )


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("status == 200", "LEGACY_RETRY is not a JMESPath expression: "),
        ("status ==", "LEGACY_RETRY is not a JMESPath expression: "),
        ("(" * 5_000, "LEGACY_RETRY is too long or too deeply nested"),
        (" || ".join(["status == `200`"] * 2_000), "LEGACY_RETRY is too long or too deeply"),
        (f"body[{'9' * 5_000}]", "LEGACY_RETRY is not a JMESPath expression: "),
        ('contains(body, "Fault")', "LEGACY_RETRY uses Fault, which a response does not have"),
        ("statuses == `200`", "LEGACY_RETRY uses statuses, which a response does not have"),
        ("status == `1` && x.body", "LEGACY_RETRY uses x, which"),
        ("body[?status == `1`] && x", "LEGACY_RETRY uses x, which"),
        ("has(body, 'x')", r"LEGACY_RETRY uses has\(\), which is no function of JMESPath"),
        ("contains(body)", r"LEGACY_RETRY gives contains\(\) 1 arguments instead of 2"),
        ("body.ok && !body.error.code", r"LEGACY_RETRY selects .* Write !\(body.field\)"),
        ("!body[?code]", "LEGACY_RETRY selects from the result of !"),
        ("status == '200'", "LEGACY_RETRY compares the status, a number, with something else"),
        ('`"409"` == status', "LEGACY_RETRY compares the status, a number, with something else"),
        ("status > '499' || body.ok", "LEGACY_RETRY compares the status, a number, with"),
        ("status == `true`", "LEGACY_RETRY compares the status, a number, with something else"),
        ("starts_with(status, '2')", r"LEGACY_RETRY gives the status, a number, to starts_with"),
        ("status", "LEGACY_RETRY is status, which is neither true nor false"),
        ("headers.\"X-State\" == 'a'", 'names are lower-case: headers."x-state"'),
        ("!(contains(headers.Location, 'login'))", r'names are lower-case: headers\."location"'),
        ("`false` && nosuch(body)", r"nosuch\(\), which is no function"),
    ],
)
def test_invalid_condition_is_a_settings_error(condition: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        ResponseConditions({"LEGACY_RETRY": condition})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "condition",
    [
        "length(body.errors[?code == 'E7']) > `0`",
        "body.items[0].state == 'done' || body.items[*].state | [0] == 'done'",
        "not_null(body.a, body.b, headers.x) == 'x'",
        "{a: status, b: body}.a == `200`",
        "[status, body][0] == `200`",
        "sort_by(body.errors, &code)[0].code == 'E7'",
        "status == `200` && !(body.error.code) && !body",
        "!body | @ == `false`",
        "body.*.x | length(@) > `0` && `true`",
        "body.errors[].code[1:2] == `[]`",
        "!contains(keys(@), 'x')",
    ],
)
def test_valid_condition_is_accepted(condition: str) -> None:
    ResponseConditions({"LEGACY_RETRY": condition})


def test_without_conditions_there_is_nothing_to_ask() -> None:
    assert read(lambda _: "") is None


def test_conditions_are_read_from_their_settings() -> None:
    conditions = read(lambda name: "`true`" if name == "legacy_refused" else "")
    assert conditions
    assert list(conditions.matching(500, {}, b"")) == ["LEGACY_REFUSED"]


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)
ALL = {**SOAP, **ALREADY, "LEGACY_DELIVERED": "body.ok == `true` || length(body) == `3`"}


@given(
    st.integers(100, 599),
    st.binary(max_size=50) | JSON_VALUES.map(lambda v: json.dumps(v).encode()),
)
def test_no_response_makes_conditions_raise(status: int, body: bytes) -> None:
    assert set(ALL) <= set(OUTCOME_OF_CONDITION)
    judge(ALL, status, body, content_type="application/json; charset=utf-16")
