"""Answers that the simulated legacy is told to give."""

import time
from typing import Any

import pytest
import requests

from tests.support.simulated_legacy import Client


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
        ({"status": 400, "body": "no such employee"}, 400, "no such employee", None),
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
def test_scripted_answer_is_given_as_it_is(
    legacy: Client,
    answer: dict[str, Any],
    status: int,
    body: str,
    header: tuple[str, str] | None,
) -> None:
    legacy.set(answer=answer).raise_for_status()
    got = legacy.send("a")

    assert (got.status_code, got.text) == (status, body)
    assert header is None or got.headers[header[0]] == header[1]
    assert legacy.accepted_ids() == []


def test_scripted_answer_can_be_for_some_records_and_some_times(legacy: Client) -> None:
    legacy.set(answer={"status": 400, "only_ids": ["poison"], "times": 2})
    ids = ["poison", "good", "poison", "poison"]

    assert [legacy.send(each).status_code for each in ids] == [400, 200, 400, 200]


def test_scripted_answer_can_follow_acceptance(legacy: Client) -> None:
    legacy.set(answer={"status": 500, "accepts": True})

    assert legacy.send("a").status_code == 500
    assert legacy.accepted_ids() == ["a"]


def test_scripted_reset_reaches_the_client(legacy: Client) -> None:
    legacy.set(answer={"reset": True})

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        legacy.send()


def test_dripping_answer_outlives_a_read_timeout(legacy: Client) -> None:
    legacy.set(answer={"body": "1234567", "drip_s": 0.1})
    started = time.monotonic()

    assert legacy.send(timeout=0.3).text == "1234567"
    assert time.monotonic() - started >= 0.6
