"""The burst's arithmetic: what is sent when, and what counts as lost and as doubled."""

import json
import re
from collections import Counter
from datetime import UTC, datetime

import pytest
from rich.console import Console

from chalicelib.point_record import parse
from local.burst.load import Plan, Sent, retry_wait_s
from local.burst.progress import InReplica
from local.burst.report import Result, details, duration, percentile, stage_table, tally
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
    resent=0.02,
    at_once=64,
)
DELIVERED = {"a": "INTEGRATED", "b": "INTEGRATED", "c": "INTEGRATED"}


def count(
    accepted: str = "abc",
    statuses: dict[str, str] = DELIVERED,
    logged_twice: str = "",
    at_legacy: str | None = "abc",
    nowhere: str = "",
) -> Result:
    sent = [
        Sent(accepted=list(accepted[:2]), calls=2, last_accepted_at=STARTS_AT + 15.04),
        Sent(accepted=list(accepted[2:]), calls=2, resent=1, last_answer_at=STARTS_AT + 16),
    ]
    in_replica = InReplica(statuses, set(logged_twice), STARTS_AT + 90, STARTS_AT + 600)
    calls = None if at_legacy is None else Counter(at_legacy)
    return tally(PLAN, sent, in_replica, calls, set(nowhere))


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
def test_accepted_record_that_is_on_its_way_is_waiting_and_not_lost(status: str | None) -> None:
    statuses = DELIVERED | {"b": status} if status else {"a": "INTEGRATED", "c": "INTEGRATED"}
    result = count(statuses=statuses, at_legacy="ac")

    assert (result.waiting, result.lost, result.doubled) == ({"b"}, set(), set())
    assert not result.is_clean
    assert "only 2" in show(stage_table(result))
    assert f"1 {status or 'not replicated'}" in show(details(result))


def test_accepted_record_that_is_in_no_store_is_lost() -> None:
    result = count(statuses={"a": "INTEGRATED", "c": "INTEGRATED"}, at_legacy="ac", nowhere="b")

    assert (result.waiting, result.lost, result.doubled) == (set(), {"b"}, set())
    assert not result.is_clean
    assert re.search(r"lost +b\b", show(details(result)))


def test_record_that_the_legacy_never_saw_is_lost_whatever_postgres_says() -> None:
    assert count(at_legacy="ac").lost == {"b"}


def test_parked_record_is_neither_lost_nor_doubled() -> None:
    result = count(statuses=DELIVERED | {"b": "REJECTED"}, at_legacy="ac")

    assert result.is_clean
    assert re.search(r"parked as REJECTED +1\b", show(details(result)))


def test_record_that_was_logged_twice_is_doubled() -> None:
    result = count(logged_twice="c")

    assert (result.lost, result.doubled) == (set(), {"c"})
    assert not result.is_clean


def test_record_that_the_legacy_accepted_twice_is_doubled() -> None:
    assert count(at_legacy="abcb").doubled == {"b"}


def test_records_of_others_at_the_legacy_do_not_count() -> None:
    assert count(at_legacy="abcxx").is_clean


def test_legacy_that_does_not_tell_is_named() -> None:
    result = count(at_legacy=None)

    assert result.is_clean
    assert "does not tell" in show(details(result))


def test_punch_that_nobody_accepted_is_not_lost_but_not_clean_either() -> None:
    result = count(accepted="ab", statuses={"a": "INTEGRATED", "b": "INTEGRATED"}, at_legacy="ab")

    assert (result.lost, result.doubled) == (set(), set())
    assert not result.is_clean


def test_stored_record_whose_answer_never_came_is_not_lost() -> None:
    result = count(accepted="ab", at_legacy="abc")

    assert (result.lost, result.doubled) == (set(), set())


def test_processes_share_the_punches_evenly_over_the_time() -> None:
    shares = [list(PLAN.numbers(process)) for process in range(2)]

    assert shares == [[0, 2], [1]]
    assert [PLAN.due_at(number) - STARTS_AT for number in range(3)] == [0.0, 5.0, 10.0]


def test_punch_is_named_as_the_service_names_it() -> None:
    record_id, body = PLAN.punch(2)
    now = datetime.fromtimestamp(STARTS_AT + 60, UTC)

    record = parse(json.loads(body), now, clock_skew_s=0)

    assert (str(record.id), record.employee_id, record.employer_id) == (record_id, 3, 7)
    assert record.included_at.timestamp() == STARTS_AT + 10


def test_phones_wait_longer_after_each_failure_up_to_a_bound() -> None:
    assert [retry_wait_s(attempt, 1.0) for attempt in (0, 1, 2, 10, 5_000)] == [0.25, 0.5, 1, 5, 5]
    assert retry_wait_s(0, 0.0) == 0.125


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([3], 0.99, 3), ([4, 1, 3, 2], 0.5, 2), (range(1, 101), 0.95, 95)],
)
def test_percentile_is_a_value_that_was_seen(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (15.2, "15.2 s"), (600, "10.0 min"), (13_020, "3.6 h")]
)
def test_duration_is_written_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("part", ["api", "dynamodb", "postgres", "legacy"])
def test_stack_with_a_part_elsewhere_is_refused(part: str) -> None:
    here = dict.fromkeys(("api", "dynamodb", "postgres", "legacy"), "http://127.0.0.1:1")
    require_loopback(here)

    for elsewhere in ("https://hr.example.com", "http://127.0.0.1@example.com", "not a URL"):
        with pytest.raises(BurstError, match=f"{part} is not on this machine"):
            require_loopback(here | {part: elsewhere})
