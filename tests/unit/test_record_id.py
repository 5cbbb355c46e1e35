"""The id of a punch: deterministic, in the order of time, and bounded by each period."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.record_id import end_id, first_id, punch_id

MONTH = datetime(2026, 12, 1, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
INSTANTS = st.datetimes(timezones=st.just(UTC))
MICROSECOND = timedelta(microseconds=1)


def test_first_bits_are_the_milliseconds_and_the_rest_is_a_uuid_of_version_8() -> None:
    instant = datetime(2026, 11, 22, 11, 0, 0, 123_999, UTC)
    record_id = punch_id(121, 7, instant)
    assert record_id.int >> 80 == int(instant.timestamp()) * 1_000 + 123
    assert (record_id.version, record_id.variant) == (8, uuid.RFC_4122)


def test_zone_of_the_instant_makes_no_difference() -> None:
    there = MONTH.astimezone(timezone(timedelta(hours=-3)))
    assert punch_id(121, 7, there) == punch_id(121, 7, MONTH)


@given(INSTANTS, INSTANTS, st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))
@example(FIRST, LAST, 1, 1)
def test_every_id_is_valid_and_in_the_order_of_milliseconds(
    one: datetime, other: datetime, employer_id: int, employee_id: int
) -> None:
    ids = [punch_id(employer_id, employee_id, each) for each in sorted([one, other])]
    assert all((each.version, each.variant) == (8, uuid.RFC_4122) for each in ids)
    assert ids[0].int >> 80 <= ids[1].int >> 80
    assert (ids[0] == ids[1]) == (one == other)


@given(INSTANTS, INSTANTS)
@example(MONTH, MONTH)
@example(MONTH, MONTH - MICROSECOND)
@example(MONTH, MONTH + MICROSECOND)
@example(FIRST, FIRST)
@example(LAST, LAST)
@example(datetime(1970, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC))
def test_bounds_of_a_period_hold_for_every_punch_in_it(bound: datetime, instant: datetime) -> None:
    record_id = punch_id(121, 7, instant)
    assert instant < bound or record_id >= first_id(bound)
    assert instant >= bound or record_id < end_id(bound)


def test_bounds_of_a_month_touch_no_other_month() -> None:
    assert first_id(MONTH) == end_id(MONTH) == uuid.UUID("01a22ee6-b000-0000-0000-000000000000")


@pytest.mark.parametrize("instant", [FIRST, datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)])
def test_instants_before_1970_have_ids_of_the_first_millisecond(instant: datetime) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert first_id(epoch) <= punch_id(121, 7, instant) < end_id(instant)
    assert punch_id(121, 7, instant) != punch_id(121, 7, epoch)
