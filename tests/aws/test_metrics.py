"""What runs under prod's settings measures all that its alarms and its dashboard ask for."""

import json
from typing import Any

import pytest

import app
from chalicelib.telemetry import METRICS
from tests.aws.test_policies import ask, request
from tests.support.lambda_events import context, schedule_event
from tests.support.service import punch


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_punch_on_its_way_is_measured_at_every_step(
    prod: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = context()
    event = request("POST", "/point-record", [punch(1), punch(2)])
    assert app.intake(event, run)["statusCode"] == 207
    for line in lines(capsys):
        assert line["run_id"] == run.aws_request_id
        assert line["request_id"] == event["requestContext"]["requestId"]
    ask(app.intake, request("POST", "/point-record", punch(3)), 201)
    for schedule in (app.replicate, app.integrate, app.observe):
        schedule(schedule_event(), context())
    told = lines(capsys)
    assert all(line["run_id"] for line in told)
    measured = {
        line["message"]: {each["Name"]: line[each["Name"]] for each in metrics["Metrics"]}
        for line in told
        if "_aws" in line
        for metrics in line["_aws"]["CloudWatchMetrics"]
    }
    assert {message: set(found) for message, found in measured.items()} == {
        message: set(metrics) for message, metrics in METRICS.items()
    }
    assert measured["replicated"]["replicated"] == measured["integrated"]["integrated"] == 3
    assert measured["observed"]["waiting"] == measured["observed"]["parked"] == 0


def test_no_line_has_a_secret(
    prod: dict[str, str], database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(app.app, request("GET", "/health"), 200)
    app.integrate(schedule_event(), context())
    assert database_url not in capsys.readouterr().out
