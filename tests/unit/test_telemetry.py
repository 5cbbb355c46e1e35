"""What is written for operators: lines with the ids of their run, some of them measurements."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib import telemetry


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    telemetry.logger.handlers.clear()
    yield
    telemetry.logger.handlers.clear()
    telemetry.bind({})


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (text,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_has_the_ids_that_were_bound(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO")
    telemetry.bind({"run_id": "r", "request_id": "q"})
    telemetry.event("x", item=1)
    told = line(capsys)
    assert (told["run_id"], told["request_id"], told["item"]) == ("r", "q", 1)


def test_a_thread_has_the_ids_that_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO")
    telemetry.bind({"run_id": "r"})
    ids = (telemetry.bound(),)
    with ThreadPoolExecutor(1, initializer=telemetry.bind, initargs=ids) as pool:
        pool.submit(telemetry.event, "x").result()
    assert line(capsys)["run_id"] == "r"


@pytest.mark.parametrize("message", telemetry.METRICS)
def test_an_event_of_metrics_is_a_measurement(
    message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure("INFO", "here")
    metrics = telemetry.METRICS[message]
    telemetry.event(message, **{field: 7 for field, _ in metrics.values()})
    told = line(capsys)
    (measured,) = told["_aws"]["CloudWatchMetrics"]
    assert measured["Namespace"] == "here"
    assert measured["Dimensions"] == [[]]
    assert {each["Name"]: each["Unit"] for each in measured["Metrics"]} == {
        name: unit for name, (_, unit) in metrics.items()
    }
    assert all(told[each["Name"]] == 7 for each in measured["Metrics"])
    assert isinstance(told["_aws"]["Timestamp"], int)
    assert told["message"] == message


def test_what_is_not_known_is_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO", "here")
    telemetry.event(telemetry.INTEGRATED, delivered=0, latency_p95_ms=None)
    (measured,) = line(capsys)["_aws"]["CloudWatchMetrics"]
    assert [each["Name"] for each in measured["Metrics"]] == ["integrated"]


def test_without_a_namespace_a_line_is_only_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("INFO")
    telemetry.event(telemetry.INTEGRATED, delivered=1)
    assert "_aws" not in line(capsys)
