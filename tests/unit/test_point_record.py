"""Which point records are valid, and which id a punch has."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidError, TooOldError
from chalicelib.instant import read_instant, to_text
from chalicelib.point_record import PointRecord, from_json, parse, to_json
from chalicelib.record_id import punch_id

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PUNCH = {"employeeId": 2023, "employerId": 121, "includedAt": "2026-11-22T08:00:00-03:00"}


def accept(**changes: Any) -> PointRecord:
    return parse({**PUNCH, **changes}, NOW, clock_skew_s=60)


def test_record_has_the_instant_in_utc_and_the_original_offset() -> None:
    record = accept()
    assert record.included_at == datetime(2026, 11, 22, 11, 0, tzinfo=UTC)
    assert record.utc_offset_minutes == -180
    assert record.created_at == NOW


def test_id_does_not_depend_on_how_the_instant_is_written() -> None:
    same = ["2026-11-22T08:00:00-03:00", "2026-11-22T11:00:00Z", "2026-11-22t11:00:00.000z"]
    assert len({accept(includedAt=text).id for text in same}) == 1


def test_id_is_the_same_in_every_release() -> None:
    assert str(accept().id) == str(punch_id(121, 2023, datetime(2026, 11, 22, 11, tzinfo=UTC)))
    assert str(accept().id) == "01a202e9-b380-818a-a002-db19698c6a72"


@pytest.mark.parametrize(
    "changes",
    [
        {"employeeId": 2024},
        {"employerId": 122},
        {"includedAt": "2026-11-22T08:00:00.000001-03:00"},
    ],
)
def test_another_punch_has_another_id(changes: dict[str, Any]) -> None:
    assert accept(**changes).id != accept().id


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("2021-09-01T00:00:00Z", True),  # NOW is in November 2026
        ("2021-08-31T23:59:59.999999Z", False),
        ("2021-09-01T00:00:00+00:01", False),
        ("0001-01-01T00:00:00Z", False),  # what .NET sends for an empty date
    ],
)
def test_punch_before_the_retention_is_too_old(text: str, is_kept: bool) -> None:
    body = {**PUNCH, "includedAt": text}
    if is_kept:
        assert parse(body, NOW, clock_skew_s=60, retention_months=62).id
        return
    with pytest.raises(TooOldError, match="Punches are accepted since 2021-09-01") as refused:
        parse(body, NOW, clock_skew_s=60, retention_months=62)
    assert refused.value.target == "includedAt"


@pytest.mark.parametrize("name", ["employeeId", "employerId"])
@pytest.mark.parametrize("value", [0, -1, 2**63, 1.0, 1e3, True, "1", [1], {}, math.nan])
def test_id_that_is_not_a_positive_int64_is_rejected(name: str, value: object) -> None:
    with pytest.raises(InvalidError) as rejected:
        accept(**{name: value})
    assert rejected.value.target == name


def test_largest_int64_is_accepted() -> None:
    assert accept(employeeId=2**63 - 1).employee_id == 2**63 - 1


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T08:00:00",  # no offset
        "2026-11-22 08:00:00Z",
        "2026-11-22",
        "2026-02-30T08:00:00Z",
        "2026-13-01T08:00:00Z",
        "2026-00-01T08:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T08:60:00Z",
        "2026-11-22T08:00:60Z",
        "2026-11-22T08:00Z",
        "2026-11-22T08:00:00.Z",
        "2026-11-22T08:00:00+24:00",
        "2026-11-22T08:00:00+03:60",
        "2026-11-22T08:00:00+0300",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "\uff12026-11-22T08:00:00Z",  # a digit that is not ASCII
        " 2026-11-22T08:00:00Z",
        "2026-11-22T08:00:00Z\n",
        "",
        1_700_000_000,
        None,
        ["2026-11-22T08:00:00Z"],
    ],
)
def test_invalid_instant_is_rejected(text: object) -> None:
    with pytest.raises(InvalidError) as rejected:
        accept(includedAt=text)
    assert rejected.value.target == "includedAt"


def test_instant_is_truncated_to_the_microsecond() -> None:
    assert to_text(read_instant("2026-11-22T08:00:00.123456789Z")) == "2026-11-22T08:00:00.123456Z"


def test_instant_may_be_in_the_future_by_at_most_the_clock_skew() -> None:
    skewed = to_text(NOW + timedelta(seconds=60))
    assert accept(includedAt=skewed).included_at == NOW + timedelta(seconds=60)
    with pytest.raises(InvalidError, match="future"):
        accept(includedAt=to_text(NOW + timedelta(seconds=61)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deviceId", ""),
        ("deviceId", "x" * 101),
        ("deviceId", 7),
        ("deviceId", "a\0b"),
        ("deviceId", "\ud800"),
        ("latitude", 90.001),
        ("latitude", "1"),
        ("latitude", True),
        ("latitude", math.inf),
        ("longitude", -180.5),
        ("longitude", 10**400),
        ("accuracyMeters", -1),
        ("accuracyMeters", 1e308),
    ],
)
def test_device_or_position_out_of_bounds_is_rejected(name: str, value: object) -> None:
    with pytest.raises(InvalidError) as rejected:
        accept(**{name: value})
    assert rejected.value.target == name


def test_error_has_a_detail_for_every_invalid_field() -> None:
    body = {"employeeId": "x", "includedAt": "now", "latitude": 91, "colour": "red"}
    with pytest.raises(InvalidError) as rejected:
        parse(body, NOW, clock_skew_s=60)
    targets = {detail.target for detail in rejected.value.details}
    assert targets == {"employeeId", "employerId", "includedAt", "latitude", "colour"}


@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_body_that_is_not_an_object_is_rejected(body: object) -> None:
    with pytest.raises(InvalidError, match="JSON object"):
        parse(body, NOW, clock_skew_s=60)


@given(
    employee=st.integers(1, 2**63 - 1),
    employer=st.integers(1, 2**63 - 1),
    instant=st.datetimes(datetime(1, 1, 2), NOW.replace(tzinfo=None)),  # noqa: DTZ001 - set below
    offset=st.integers(-1439, 1439),
    device=st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    latitude=st.none() | st.floats(-90, 90) | st.integers(-90, 90),
    accuracy=st.none() | st.floats(0, 40_075_017),
)
def test_stored_json_is_read_back_to_the_same_record(
    employee: int,
    employer: int,
    instant: datetime,
    offset: int,
    device: str | None,
    latitude: float | None,
    accuracy: float | None,
) -> None:
    local = instant.isoformat(timespec="microseconds")
    sign = "-" if offset < 0 else "+"
    body = {
        "employeeId": employee,
        "employerId": employer,
        "includedAt": f"{local}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}",
        "deviceId": device[:100] if device else None,
        "latitude": latitude,
        "accuracyMeters": accuracy,
    }
    record = parse(body, datetime(9998, 1, 1, tzinfo=UTC), clock_skew_s=0)
    assert record.utc_offset_minutes == offset
    assert from_json(json.dumps(to_json(record))) == record


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "00000000-0000-0000-0000-000000000000"},
        {"id": 7},
        {"employeeId": "2023"},
        {"employerId": 2**63},
        {"includedAt": "2026-11-22T11:00:00Z"},
        {"includedAt": "0000-11-22T11:00:00.000000Z"},
        {"utcOffsetMinutes": 1440},
        {"utcOffsetMinutes": None},
        {"deviceId": "a\0b"},
        {"createdAt": "yesterday"},
        {"colour": "red"},
    ],
)
def test_invalid_stored_json_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        from_json(json.dumps({**to_json(accept()), **changes}))
