"""Log lines: bound ids, and metrics in the embedded metric format."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chalicelib import telemetry


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    telemetry.logger.handlers.clear()
    yield
    telemetry.logger.handlers.clear()
    telemetry.bind({})


def logged_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (text,) = capsys.readouterr().out.splitlines()
    fields: dict[str, Any] = json.loads(text)
    return fields


def test_line_has_the_bound_ids(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO")
    telemetry.bind({"run_id": "r", "request_id": "q"})
    telemetry.event("x", item=1)
    fields = logged_line(capsys)
    assert (fields["run_id"], fields["request_id"], fields["item"]) == ("r", "q", 1)


def test_worker_thread_logs_the_ids_that_its_initializer_binds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry.configure("INFO")
    telemetry.bind({"run_id": "r"})
    ids = (telemetry.bound(),)
    with ThreadPoolExecutor(1, initializer=telemetry.bind, initargs=ids) as pool:
        pool.submit(telemetry.event, "x").result()
    assert logged_line(capsys)["run_id"] == "r"


@pytest.mark.parametrize("message", telemetry.METRICS)
def test_event_with_metrics_uses_the_embedded_metric_format(
    message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure("INFO", "here")
    metrics = telemetry.METRICS[message]
    telemetry.event(message, **{field: 7 for field, _ in metrics.values()})
    fields = logged_line(capsys)
    (metric_set,) = fields["_aws"]["CloudWatchMetrics"]
    assert metric_set["Namespace"] == "here"
    assert metric_set["Dimensions"] == [[]]
    assert {each["Name"]: each["Unit"] for each in metric_set["Metrics"]} == {
        name: unit for name, (_, unit) in metrics.items()
    }
    assert all(fields[each["Name"]] == 7 for each in metric_set["Metrics"])
    assert isinstance(fields["_aws"]["Timestamp"], int)
    assert fields["message"] == message


def test_metric_without_a_value_is_omitted(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO", "here")
    telemetry.event(telemetry.INTEGRATED, delivered=0, latency_p95_ms=None)
    (metric_set,) = logged_line(capsys)["_aws"]["CloudWatchMetrics"]
    assert [each["Name"] for each in metric_set["Metrics"]] == ["integrated"]


def test_line_without_a_namespace_has_no_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO")
    telemetry.event(telemetry.INTEGRATED, delivered=1)
    assert "_aws" not in logged_line(capsys)


@pytest.mark.parametrize("secret", ["1795", "2000", '"_aws":', "Unit", "integrated", "here"])
def test_secret_destroys_no_metric(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO", "here")
    telemetry.redact_with(lambda text: text.replace(secret, "[secret]"))
    telemetry.event(telemetry.INTEGRATED, delivered=2000, limit_last=1795.0)
    fields = logged_line(capsys)
    assert (fields["integrated"], fields["limit"], fields["level"]) == (2000, 1795.0, "INFO")
    assert fields["message"] == telemetry.INTEGRATED
    (metric_set,) = fields["_aws"]["CloudWatchMetrics"]
    assert metric_set["Namespace"] == "here"
    assert [each["Name"] for each in metric_set["Metrics"]] == ["integrated", "limit"]


def test_secret_is_redacted_in_each_text(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO")
    telemetry.redact_with(lambda text: text.replace('hu"sh', "[secret]"))
    telemetry.bind({"run_id": 'hu"sh'})
    telemetry.error("x", ValueError('hu"sh'), item={"of": [('hu"sh', Path('/hu"sh'))]})
    fields = logged_line(capsys)
    assert (fields["run_id"], fields["item"]) == ("[secret]", {"of": [["[secret]", "/[secret]"]]})
    assert "ValueError: [secret]" in fields["exception"]
    telemetry.logger.warning("no %s", 'hu"sh')
    assert logged_line(capsys)["message"] == "no [secret]"
