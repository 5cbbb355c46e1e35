"""The arithmetic of a burst: due times, and which records count as lost or duplicated."""

import json
import re
from collections import Counter
from datetime import UTC, datetime

import pytest
from rich.console import Console

from chalicelib.point_record import parse
from local.burst.load import Plan, SendResult, retry_delay_s
from local.burst.progress import ReplicatedRecords
from local.burst.report import (
    BurstResult,
    compare,
    details,
    format_duration,
    percentile,
    stage_table,
)
from local.commands.burst import BurstError, require_loopback

STARTS_AT = 1_800_000_000.0
PLAN = Plan(
    url="http://127.0.0.1:1/point-record",
    token="a.b.c",
    employer_id=7,
    punches=3,
    seconds=15.0,
    starts_at=STARTS_AT,
    processes=2,
    resend_share=0.02,
    concurrency=64,
)
DELIVERED = {"a": "INTEGRATED", "b": "INTEGRATED", "c": "INTEGRATED"}


def count(
    accepted: str = "abc",
    statuses: dict[str, str] = DELIVERED,
    logged_twice: str = "",
    deliveries: str | None = "abc",
    missing: str = "",
) -> BurstResult:
    sent = [
        SendResult(accepted=list(accepted[:2]), calls=2, last_accepted_at=STARTS_AT + 15.04),
        SendResult(accepted=list(accepted[2:]), calls=2, resent=1, last_response_at=STARTS_AT + 16),
    ]
    records = ReplicatedRecords(statuses, set(logged_twice), STARTS_AT + 90, STARTS_AT + 600)
    counts = None if deliveries is None else Counter(deliveries)
    return compare(PLAN, sent, records, counts, set(missing))


def show(*tables: object) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(*tables)
    return captured.get()


def test_clean_burst_shows_when_each_stage_was_done() -> None:
    result = count()

    assert result.is_clean
    (row,) = (line for line in show(stage_table(result)).splitlines() if "15.0 s" in line)
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells == ["3", "15.0 s", "90.0 s", "10.0 min", "0", "0"]


@pytest.mark.parametrize("status", [None, "AWAITING", "INTEGRATING", "ERROR"])
def test_accepted_record_that_is_not_settled_is_waiting_and_not_lost(status: str | None) -> None:
    statuses = DELIVERED | {"b": status} if status else {"a": "INTEGRATED", "c": "INTEGRATED"}
    result = count(statuses=statuses, deliveries="ac")

    assert (result.waiting, result.lost, result.duplicated) == ({"b"}, set(), set())
    assert not result.is_clean
    assert "only 2" in show(stage_table(result))
    assert f"1 {status or 'not replicated'}" in show(details(result))


def test_accepted_record_that_no_store_has_is_lost() -> None:
    result = count(statuses={"a": "INTEGRATED", "c": "INTEGRATED"}, deliveries="ac", missing="b")

    assert (result.waiting, result.lost, result.duplicated) == (set(), {"b"}, set())
    assert not result.is_clean
    assert re.search(r"lost +b\b", show(details(result)))


def test_delivered_record_that_the_legacy_lacks_is_lost() -> None:
    assert count(deliveries="ac").lost == {"b"}


def test_parked_record_is_neither_lost_nor_duplicated() -> None:
    result = count(statuses=DELIVERED | {"b": "REJECTED"}, deliveries="ac")

    assert result.is_clean
    assert re.search(r"parked as REJECTED +1\b", show(details(result)))


def test_record_that_was_logged_twice_is_duplicated() -> None:
    result = count(logged_twice="c")

    assert (result.lost, result.duplicated) == (set(), {"c"})
    assert not result.is_clean


def test_record_that_the_legacy_accepted_twice_is_duplicated() -> None:
    assert count(deliveries="abcb").duplicated == {"b"}


def test_records_of_other_bursts_at_the_legacy_do_not_count() -> None:
    assert count(deliveries="abcxx").is_clean


def test_legacy_without_a_report_is_named() -> None:
    result = count(deliveries=None)

    assert result.is_clean
    assert "has no report" in show(details(result))


def test_punch_that_was_never_accepted_is_not_lost_but_not_clean_either() -> None:
    result = count(accepted="ab", statuses={"a": "INTEGRATED", "b": "INTEGRATED"}, deliveries="ab")

    assert (result.lost, result.duplicated) == (set(), set())
    assert not result.is_clean


def test_stored_record_without_a_response_is_not_lost() -> None:
    result = count(accepted="ab", deliveries="abc")

    assert (result.lost, result.duplicated) == (set(), set())


def test_punches_are_spread_evenly_over_the_processes_and_the_period() -> None:
    shares = [list(PLAN.punch_numbers(process)) for process in range(2)]

    assert shares == [[0, 2], [1]]
    assert [PLAN.due_at(number) - STARTS_AT for number in range(3)] == [0.0, 5.0, 10.0]


def test_punch_has_the_id_that_the_service_gives_it() -> None:
    record_id, body = PLAN.punch(2)
    now = datetime.fromtimestamp(STARTS_AT + 60, UTC)

    record = parse(json.loads(body), now, clock_skew_s=0)

    assert (str(record.id), record.employee_id, record.employer_id) == (record_id, 3, 7)
    assert record.included_at.timestamp() == STARTS_AT + 10


def test_retry_delay_doubles_up_to_its_maximum() -> None:
    assert [retry_delay_s(attempt, 1.0) for attempt in (0, 1, 2, 10, 5_000)] == [0.25, 0.5, 1, 5, 5]
    assert retry_delay_s(0, 0.0) == 0.125


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([3], 0.99, 3), ([4, 1, 3, 2], 0.5, 2), (range(1, 101), 0.95, 95)],
)
def test_percentile_is_one_of_the_values(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (15.2, "15.2 s"), (600, "10.0 min"), (13_020, "3.6 h")]
)
def test_duration_is_formatted_in_a_suitable_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("part", ["api", "dynamodb", "postgres", "legacy"])
def test_stack_with_a_part_on_another_machine_is_refused(part: str) -> None:
    local = dict.fromkeys(("api", "dynamodb", "postgres", "legacy"), "http://127.0.0.1:1")
    require_loopback(local)

    for url in ("https://hr.example.com", "http://127.0.0.1@example.com", "not a URL"):
        with pytest.raises(BurstError, match=f"{part} is not on this machine"):
            require_loopback(local | {part: url})
