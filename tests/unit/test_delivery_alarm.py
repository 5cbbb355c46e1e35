"""The alarm while the legacy delivers nothing: which lines are logged, and when."""

import logging

import pytest

from chalicelib.integrator.delivery_alarm import DeliveryAlarm
from chalicelib.integrator.liveness import Liveness
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.integrator.run_stats import RunStats
from chalicelib.telemetry import DELIVERS_AGAIN, NOTHING_DELIVERED


def call(liveness: Liveness, outcome: Outcome, count: int = 1) -> None:
    for number in range(count):
        liveness.on_start(str(number))
        liveness.on_result(str(number), CallResult(outcome, 0.1))


def test_alarm_is_repeated_each_minute_and_ends_with_a_delivery(
    caplog: pytest.LogCaptureFixture,
) -> None:
    liveness = Liveness()
    alarm = DeliveryAlarm(liveness, RunStats(10.0, 10.0))
    with caplog.at_level(logging.INFO):
        alarm.check(0.0)
        assert alarm.delivers is None
        call(liveness, Outcome.REFUSED, 40)
        for now in range(150):
            alarm.check(float(now))
        assert alarm.delivers is False
        call(liveness, Outcome.DELIVERED)
        for now in range(150, 300):
            alarm.check(float(now))
        assert alarm.delivers is True
    assert caplog.messages == [*[NOTHING_DELIVERED] * 3, DELIVERS_AGAIN]


def test_alarm_at_the_end_of_a_run_is_logged_although_few_calls_were_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    liveness = Liveness()
    alarm = DeliveryAlarm(liveness, RunStats(10.0, 10.0))
    call(liveness, Outcome.FAILED, 3)
    with caplog.at_level(logging.INFO):
        alarm.check(0.0)
        assert caplog.messages == []
        alarm.check(0.0, run_ends=True)
    assert caplog.messages == [NOTHING_DELIVERED]
    assert alarm.delivers is False
