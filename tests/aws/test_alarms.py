"""Alarms distinguish outages from shift changes: they judge simulated and invented minutes."""

import logging
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from chalicelib import telemetry
from chalicelib.integrator.outcome import CallResult, Outcome
from chalicelib.settings import Settings
from chalicelib.telemetry import METRICS
from deploy.capacity.shift_change import Second, simulate
from deploy.capacity.tables import OFFERED, SHIFT_S, deployed
from tests.support.virtual_integration import Row, World, integrate_until

Minute = Mapping[str, float]


def alarm_of(template: dict[str, Any], name: str) -> dict[str, Any]:
    properties: dict[str, Any] = template["Resources"][f"{name}Alarm"]["Properties"]
    return properties


def rings(alarm: Mapping[str, Any], values: Sequence[float | None]) -> bool:
    """Return whether an alarm rings at some time; see ``states``."""
    return any(states(alarm, values)[alarm["EvaluationPeriods"] - 1 :])


def states(alarm: Mapping[str, Any], values: Sequence[float | None]) -> list[bool]:
    """Return whether an alarm rings after each period, as CloudWatch evaluates its datapoints.

    None is a missing value. Before the first value, all were missing.
    """
    is_breach = {"GreaterThanThreshold": operator.gt, "LessThanThreshold": operator.lt}[
        alarm["ComparisonOperator"]
    ]
    missing = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", periods)
    breaching = [missing] * (periods - 1) + [
        missing if each is None else is_breach(each, alarm["Threshold"]) for each in values
    ]
    return [sum(breaching[end : end + periods]) >= needed for end in range(len(values))]


def evaluate(expression: str, values: Mapping[str, float | None]) -> float:
    """Evaluate metric math of one instant. Its operators bind as those of Python."""
    functions = {
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
        "FILL": lambda value, other: other if value is None else value,
    }
    python = expression.replace("&&", " and ").replace("||", " or ")
    result: float = eval(python, {"__builtins__": {}}, {**functions, **values})  # noqa: S307 - ours
    return result


def by_minute(seconds: Sequence[Second], offset: int) -> list[Minute]:
    """Add the seconds up to minutes, of which the first begins ``offset`` seconds before them."""
    quiet = Second(0, 0, 0, 0, 0, 0)
    padded = [quiet] * offset + list(seconds)
    return [
        {
            name: sum(getattr(each, name) for each in padded[first : first + 60])
            for name in ("offered", "accepted", "refused", "throttled_puts")
        }
        for first in range(0, len(padded), 60)
    ]


def refused_share(template: dict[str, Any], minutes: Sequence[Minute]) -> list[float | None]:
    """Return the metric of RefusedShare, if intake is not invoked for refused requests."""
    return [
        share_of(template, requests=each["offered"], invocations=each["offered"] - each["refused"])
        for each in minutes
    ]


def share_of(template: dict[str, Any], **counts: float | None) -> float:
    """Return the metric of RefusedShare for the counts of a minute; others are missing."""
    share, asked, *stats = alarm_of(template, "RefusedShare")["Metrics"]
    values: Any = dict.fromkeys(each["Id"] for each in stats)
    assert set(counts) <= set(values)
    values |= counts
    values["asked"] = evaluate(asked["Expression"], values)
    return evaluate(share["Expression"], values)


def not_reconciled(
    template: dict[str, Any], hours: Sequence[tuple[float, float | None]]
) -> list[bool]:
    """Return whether NotReconciled rings after each hour.

    Args:
        template: has the alarm.
        hours: the accepted records of each hour, and those that its run reads; None without a run.
    """
    alarm = alarm_of(template, "NotReconciled")
    unproven, *stats = alarm["Metrics"]
    described = {
        each["Id"]: (
            each["MetricStat"]["Metric"]["MetricName"],
            each["MetricStat"]["Stat"],
            each["MetricStat"]["Period"],
        )
        for each in stats
    }
    assert described == {
        "runs": ("reconciled", "SampleCount", 3600),
        "reconciled": ("reconciled", "Sum", 3600),
        "accepted": ("accepted", "Sum", 3600),
    }
    values = [
        evaluate(
            unproven["Expression"],
            {
                "runs": None if read is None else 1,
                "reconciled": read,
                "accepted": accepted or None,
            },
        )
        for accepted, read in hours
    ]
    return states(alarm, values)


@pytest.mark.slow
@pytest.mark.parametrize(
    "punches", [pytest.param(OFFERED[0], marks=pytest.mark.soak), *OFFERED[1:]]
)
def test_shift_change_rings_no_alarm_at_any_second_of_a_minute(
    punches: int, template: dict[str, Any]
) -> None:
    seconds = simulate(punches, SHIFT_S, deployed()).seconds[:900]
    refused = sum(each.refused for each in seconds)
    for offset in range(60):
        minutes = by_minute(seconds, offset)
        assert sum(each["refused"] for each in minutes) == refused
        throttles = [each["refused"] for each in minutes]
        assert not rings(alarm_of(template, "IntakeThrottles"), throttles)
        throttled = [each["throttled_puts"] for each in minutes]
        assert not rings(alarm_of(template, "TableThrottled"), throttled)
        assert not rings(alarm_of(template, "RefusedShare"), refused_share(template, minutes))


def test_shift_changes_of_a_legacy_of_twenty_a_second_end_before_waiting_age_rings(
    template: dict[str, Any],
) -> None:
    longest = template["Parameters"]["LongestWait"]["Default"]
    assert alarm_of(template, "WaitingAge")["Threshold"] == {"Ref": "LongestWait"}
    assert alarm_of(template, "WaitingAge")["MetricName"] in METRICS[telemetry.OBSERVED]
    assert "observe no longer measures it" in alarm_of(template, "WaitingAge")["AlarmDescription"]
    assert longest > 100_000 / 20


@pytest.mark.parametrize(
    ("minute", "share"),
    [
        ({"requests": 100, "invocations": 0, "errors": 0, "crashes": 0}, 1.0),  # throttled
        ({"requests": 100, "invocations": 100, "errors": 30, "crashes": 0}, 0.3),  # table away
        ({"requests": 100, "invocations": 100, "errors": 0, "crashes": 10}, 0.1),  # bad version
        ({"requests": 100, "invocations": 100, "errors": 0, "crashes": 0}, 0.0),
        ({"requests": 100, "invocations": None, "errors": None, "crashes": None}, 1.0),
        ({"preflights": 100}, 1.0),  # a web app sends no punch without an answer to its preflight
        ({"preflights": 100, "requests": 100, "invocations": 200}, 0.0),
        ({"preflights": 100, "requests": 100, "invocations": 180}, 0.1),
        ({"preflights": 100, "invocations": 100, "failed_preflights": 100}, 1.0),
        ({}, 0.0),
    ],
    ids=str,
)
def test_refused_share_rings_after_four_minutes_whatever_refuses(
    minute: dict[str, float | None], share: float, template: dict[str, Any]
) -> None:
    alarm = alarm_of(template, "RefusedShare")
    value = share_of(template, **minute)
    assert value == pytest.approx(share)
    assert not rings(alarm, [value] * 3 + [0.0] * 5)
    assert rings(alarm, [0.0] * 5 + [value] * 4) == (share > 0.05)


def test_refused_share_rings_during_a_canary_of_a_bad_version(template: dict[str, Any]) -> None:
    """A canary of 5 min has a tenth of the requests, and its alarm must ring before its end."""
    alarm = alarm_of(template, "RefusedShare")
    value = share_of(template, requests=1_000, invocations=1_000, errors=100)
    assert rings(alarm, [0.0] + [value] * 4)


def test_age_of_the_keys_rings_long_before_they_are_no_longer_trusted(
    template: dict[str, Any],
) -> None:
    alarm = alarm_of(template, "IssuerKeysAge")
    assert alarm["Threshold"] <= 3_600
    assert Settings().jwks_max_age_s >= 24 * alarm["Threshold"]
    # The schedule writes it every five minutes. If it does not run, the alarm rings, too.
    assert alarm["Period"] == 300
    assert alarm["TreatMissingData"] == "breaching"
    (event,) = template["Resources"]["StoreKeys"]["Properties"]["Events"].values()
    assert event["Properties"]["Schedule"] == "rate(5 minutes)"


@pytest.mark.parametrize("name", ["IntakeThrottles", "APIHandlerThrottles", "TableThrottled"])
def test_throttling_of_five_minutes_rings(name: str, template: dict[str, Any]) -> None:
    alarm = alarm_of(template, name)
    assert rings(alarm, [1.0] * 5)
    assert not rings(alarm, [1.0] * 4 + [0.0])


def silent(template: dict[str, Any], hour: int, day: int, accepted: float | None) -> float:
    """Return the metric of NothingAccepted at an hour of a day, with the default hours."""
    (expression,) = [
        each["Expression"]
        for each in alarm_of(template, "NothingAccepted")["Metrics"]
        if each["ReturnData"]
    ]
    hours = template["Parameters"]["WorkingHours"]["Default"]
    text = expression["Fn::Sub"].replace("${WorkingHours}", hours)
    values: Any = {"hour": hour, "day": day, "accepted": accepted}
    return evaluate(text, values)


@pytest.mark.parametrize(
    ("hour", "day", "accepted", "expected"),
    [
        (6, 1, None, 1),
        (19, 5, 0, 1),
        (12, 3, 1, 0),
        (5, 1, None, 0),  # before work
        (20, 5, None, 0),  # after work
        (12, 6, None, 0),  # Saturday
        (12, 7, None, 0),  # Sunday
    ],
)
def test_nothing_accepted_rings_in_working_hours_only(
    hour: int, day: int, accepted: float | None, expected: float, template: dict[str, Any]
) -> None:
    alarm = alarm_of(template, "NothingAccepted")
    value = silent(template, hour, day, accepted)
    assert value == expected
    assert rings(alarm, [value] * 2) == bool(expected)
    assert not rings(alarm, [0.0, value, 0.0])


def test_hour_and_day_come_from_a_metric_that_is_always_there(template: dict[str, Any]) -> None:
    """``observe`` writes ``buffered`` every minute; without phones ``accepted`` is missing."""
    metrics = {each["Id"]: each for each in alarm_of(template, "NothingAccepted")["Metrics"]}
    assert metrics["hour"]["Expression"] == "HOUR(buffered)"
    assert metrics["day"]["Expression"] == "DAY(buffered)"
    periods = {each["MetricStat"]["Period"] for each in metrics.values() if "MetricStat" in each}
    assert periods == {900}


def nothing_delivered(records: int, outage_s: float, until: float) -> list[float | None]:
    """Return the metric of NothingDelivered while runs meet a legacy that refuses all at first.

    The runs last as long as on Lambda. Datapoints are those of the alarm: the least value of five
    minutes.
    """
    refused = CallResult(Outcome.REFUSED, 0.05, 404, "HTTP 404")
    delivered = CallResult(Outcome.DELIVERED, 0.05, 200)
    rows = {f"r{number}": Row(due_at=0.0) for number in range(records)}
    # Two records a minute follow.
    rows |= {f"later{number}": Row(due_at=30.0 * number) for number in range(round(until / 30))}
    world = World(lambda now, *_: refused if now < outage_s else delivered, rows)
    values: list[list[float]] = [[] for _ in range(round(until / 300))]

    class Metrics(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "nothing_delivered" in METRICS.get(record.msg, {}):
                value = vars(record)["fields"]["nothing_delivered"]
                if value is not None and world.now < until:
                    values[int(world.now // 300)].append(value)

    handler = Metrics()
    telemetry.logger.addHandler(handler)
    level = telemetry.logger.level
    telemetry.logger.setLevel(logging.INFO)
    try:
        integrate_until(world, until, run_s=900.0)
    finally:
        telemetry.logger.removeHandler(handler)
        telemetry.logger.setLevel(level)
    return [min(each, default=None) for each in values]


@pytest.mark.parametrize("records", [5, 20_000])
def test_nothing_delivered_rings_after_ten_minutes_with_and_without_a_backlog(
    records: int, template: dict[str, Any]
) -> None:
    alarm = alarm_of(template, "NothingDelivered")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("nothing_delivered", "Minimum")
    assert alarm["Period"] == 300
    rung = states(alarm, nothing_delivered(records, 3_600.0, 5_400.0))
    assert rung[:12] == [False] + [True] * 11  # runs end and begin meanwhile
    assert not any(rung[14:])


@pytest.mark.parametrize("records", [5, 20_000])
def test_nothing_delivered_is_silent_about_an_outage_of_four_minutes(
    records: int, template: dict[str, Any]
) -> None:
    alarm = alarm_of(template, "NothingDelivered")
    assert not rings(alarm, nothing_delivered(records, 240.0, 2_700.0))


@pytest.mark.parametrize("name", ["Missing", "Unlogged"])
def test_a_lost_record_rings_until_a_reconciliation_reports_none(
    name: str, template: dict[str, Any]
) -> None:
    alarm = alarm_of(template, name)
    assert (alarm["MetricName"], alarm["Statistic"]) == (name.lower(), "Maximum")
    hour = 3600 // alarm["Period"]
    assert alarm["EvaluationPeriods"] == hour  # it rings from one report to the next
    silence: list[float | None] = [None] * (hour - 1)
    rung = states(alarm, [0.0, *silence, 2.0, *silence, 2.0, *silence, 0.0, *silence])
    assert rung == [False] * hour + [True] * 2 * hour + [False] * hour


def test_unpartitioned_rings_if_records_stay_in_the_default_partition(
    template: dict[str, Any],
) -> None:
    """A punch of a month long ago is there for a minute, until ``replicate`` moves it."""
    alarm = alarm_of(template, "Unpartitioned")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("unpartitioned", "Minimum")
    assert states(alarm, [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]) == [
        *(False, False, False),
        *(True, True),
        *(False, False),
    ]


def test_held_months_rings_if_a_month_is_held_for_three_hours(template: dict[str, Any]) -> None:
    alarm = alarm_of(template, "HeldMonths")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("held_months", "Minimum")
    assert states(alarm, [0.0, 2.0, 2.0, 2.0, 0.0]) == [False, False, False, True, False]


def test_not_reconciled_rings_after_three_hours_without_a_proof(template: dict[str, Any]) -> None:
    hours = [(9, 9), (0, 0), (9, None), (0, None), (9, None), (0, None), (9, 9)]
    rung = [False, False, False, False, True, True, False]
    assert not_reconciled(template, hours) == rung


def test_not_reconciled_rings_if_the_log_has_nothing_of_what_was_accepted(
    template: dict[str, Any],
) -> None:
    assert not_reconciled(template, [(9, 9), (9, 0), (9, 0), (9, 0), (9, 5)]) == [
        *(False, False, False),
        True,
        False,
    ]
    # Punches that come after the hour's run are read by the next one.
    assert not any(not_reconciled(template, [(0, 9), (9, 0)] * 5))
    assert not any(not_reconciled(template, [(0, 0)] * 9))  # a quiet weekend


def test_not_reconciled_stops_at_the_first_proof_of_a_new_stack(template: dict[str, Any]) -> None:
    assert not_reconciled(template, [(0, None), (0, 0), (9, 9)]) == [True, False, False]


def test_canary_rings_if_it_is_old_or_unmeasured_and_only_if_it_is_on(
    template: dict[str, Any],
) -> None:
    alarm = alarm_of(template, "CanaryAge")
    assert alarm["Threshold"] == {"Ref": "LongestWait"}
    assert template["Resources"]["CanaryAgeAlarm"]["Condition"] == "HasCanary"
    assert template["Parameters"]["CanaryEmployer"]["Default"] == 0
    numeric = {**alarm, "Threshold": 7200}
    assert rings(numeric, [7201.0] * 15)
    assert rings(numeric, [None] * 15)
    assert not rings(numeric, [7201.0, None] * 7 + [600.0] * 15)


def test_failures_rings_at_each_failure_though_the_queue_is_not_empty(
    template: dict[str, Any],
) -> None:
    """Rings on what is sent. A queue keeps its messages for two weeks, and would ring as long."""
    alarm = alarm_of(template, "Failures")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("NumberOfMessagesSent", "Sum")
    assert states(alarm, [None, 1.0, 0.0, None, 3.0, None]) == [
        *(False, True),
        *(False, False),
        *(True, False),
    ]
