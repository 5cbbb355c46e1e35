"""The functions under prod's settings write every metric, and no secret, to their logs."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

import app
from chalicelib.telemetry import (
    ACCEPTED,
    CANARY,
    CREDENTIALS_REFUSED,
    DELIVERS_AGAIN,
    INTEGRATED,
    ISSUER_KEYS,
    METRICS,
    NOTHING_DELIVERED,
    RECONCILED,
)
from tests.aws.test_policies import invoke, request
from tests.conftest import SimulatedLegacy
from tests.support.issuer import Issuer
from tests.support.lambda_events import context, schedule_event
from tests.support.service import punch, wired
from tests.support.tokens import operator_event


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the JSON lines that were logged since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_step_writes_its_metrics(
    prod: dict[str, str], issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    run = context()
    event = request("POST", "/point-record", [punch(1), punch(2)])
    assert app.intake(event, run)["statusCode"] == 207
    for line in log_lines(capsys):
        assert line["run_id"] == run.aws_request_id
        assert line["request_id"] == event["requestContext"]["requestId"]
    invoke(app.intake, request("POST", "/point-record", punch(3)), 201)
    boto3.client("logs").create_log_group(logGroupName="/aws/lambda/punch-clock-prod-intake")
    boto3.client("logs").create_log_group(logGroupName="/aws/lambda/punch-clock-prod")
    for schedule in (app.replicate, app.integrate, app.observe, app.reconcile):
        schedule(schedule_event(), context())
    lines = log_lines(capsys)
    with wired({"JWKS_URL": issuer.url}):
        app.store_keys(schedule_event(), context())
        lines += log_lines(capsys)
    assert all(line["run_id"] for line in lines)
    measured = {
        line["message"]: {each["Name"]: line[each["Name"]] for each in metrics["Metrics"]}
        for line in lines
        if "_aws" in line
        for metrics in line["_aws"]["CloudWatchMetrics"]
    }
    assert {message: set(metrics) for message, metrics in measured.items()} == {
        message: set(metrics)
        for message, metrics in METRICS.items()
        if message not in (CREDENTIALS_REFUSED, NOTHING_DELIVERED, DELIVERS_AGAIN, CANARY)
    }
    assert measured["replicated"]["replicated"] == measured["integrated"]["integrated"] == 3
    assert measured[ISSUER_KEYS]["issuer_keys_age"] < 60
    assert measured[ISSUER_KEYS]["issuer_keys_failed"] == 0
    assert measured["observed"]["waiting"] == measured["observed"]["parked"] == 0
    assert measured["reconciled"] == {"reconciled": 0, "missing": 0, "unlogged": 0}


def test_a_lost_record_is_a_metric_of_the_schedule_only(
    prod: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    line = {"at": datetime.now(UTC).isoformat(), "message": ACCEPTED, "id": str(uuid.uuid4())}
    log.write_text(json.dumps(line) + "\n")
    with wired({"ACCEPTED_LOG": f"file:{log}", "METRICS_NAMESPACE": "punch-clock-prod"}):
        app.reconcile(schedule_event(), context())
        (measured,) = [line for line in log_lines(capsys) if line["message"] == RECONCILED]
        app.reconcile_period(operator_event(), context())
    assert (measured["reconciled"], measured["missing"], measured["unlogged"]) == (1, 1, 0)
    lines = log_lines(capsys)
    (asked,) = [line for line in lines if line["message"] == "period reconciled"]
    assert asked["missing"] == 1
    assert not [line for line in lines if "_aws" in line]


def test_refused_credentials_are_a_metric_before_the_run_ends(
    prod: dict[str, str], legacy: SimulatedLegacy, capsys: pytest.CaptureFixture[str]
) -> None:
    legacy.set(answer={"status": 401, "body": "who?"})
    invoke(app.intake, request("POST", "/point-record", punch(1)), 201)
    app.replicate(schedule_event(), context())
    app.integrate(schedule_event(), context())
    lines = log_lines(capsys)
    messages = [line["message"] for line in lines]
    refused = lines[messages.index(CREDENTIALS_REFUSED)]
    assert refused["credentials_refused"] >= 1
    (metrics,) = refused["_aws"]["CloudWatchMetrics"]
    assert [each["Name"] for each in metrics["Metrics"]] == ["credentials_refused"]
    assert messages.index(CREDENTIALS_REFUSED) < messages.index(INTEGRATED)


def test_log_contains_no_database_url(
    prod: dict[str, str], database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke(app.app, request("GET", "/health"), 200)
    app.integrate(schedule_event(), context())
    assert database_url not in capsys.readouterr().out
