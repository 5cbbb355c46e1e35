"""Scripted responses of the simulated legacy."""

import time
from typing import Any

import pytest
import requests

from tests.support.simulated_legacy import LegacyProcess


@pytest.mark.parametrize(
    ("answer", "status", "body", "header"),
    [
        ({"body": "\x00garbage"}, 200, "\x00garbage", ("Content-Type", "application/json")),
        (
            {"body": "<html>Welcome</html>", "content_type": "text/html; charset=utf-8"},
            200,
            "<html>Welcome</html>",
            ("Content-Type", "text/html; charset=utf-8"),
        ),
        ({"body": '{"message": "queued"}'}, 200, '{"message": "queued"}', None),
        ({"status": 204, "body": ""}, 204, "", None),
        (
            {"status": 302, "headers": {"Location": "/login"}, "body": ""},
            302,
            "",
            ("Location", "/login"),
        ),
        ({"status": 400, "body": "unknown employee"}, 400, "unknown employee", None),
        (
            {"status": 401, "headers": {"WWW-Authenticate": "Basic"}},
            401,
            '{"message": "success"}',
            ("WWW-Authenticate", "Basic"),
        ),
        (
            {"status": 429, "headers": {"Retry-After": "when we feel like it"}, "body": ""},
            429,
            "",
            ("Retry-After", "when we feel like it"),
        ),
    ],
)
def test_scripted_response_is_sent_unchanged(
    legacy: LegacyProcess,
    answer: dict[str, Any],
    status: int,
    body: str,
    header: tuple[str, str] | None,
) -> None:
    legacy.set(answer=answer).raise_for_status()
    response = legacy.send("a")

    assert (response.status_code, response.text) == (status, body)
    assert header is None or response.headers[header[0]] == header[1]
    assert legacy.accepted_ids() == []


def test_scripted_response_may_be_limited_to_records_and_to_a_number_of_calls(
    legacy: LegacyProcess,
) -> None:
    legacy.set(answer={"status": 400, "only_ids": ["poison"], "times": 2})
    ids = ["poison", "good", "poison", "poison"]

    assert [legacy.send(each).status_code for each in ids] == [400, 200, 400, 200]


def test_scripted_response_may_be_sent_after_acceptance(legacy: LegacyProcess) -> None:
    legacy.set(answer={"status": 500, "accepts": True})

    assert legacy.send("a").status_code == 500
    assert legacy.accepted_ids() == ["a"]


def test_scripted_reset_reaches_the_client(legacy: LegacyProcess) -> None:
    legacy.set(answer={"reset": True})

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        legacy.send()


def test_dripping_response_outlasts_a_read_timeout(legacy: LegacyProcess) -> None:
    legacy.set(answer={"body": "1234567", "drip_s": 0.1})
    started = time.monotonic()

    assert legacy.send(timeout=0.3).text == "1234567"
    assert time.monotonic() - started >= 0.6
