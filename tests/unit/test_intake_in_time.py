"""An array is answered in time, with what is known of each item, whatever the store does."""

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from chalicelib.buffer import Buffer
from chalicelib.errors import PunchClockError, UnavailableError
from chalicelib.intake import Accepted, Intake
from chalicelib.point_record import PointRecord
from chalicelib.principal import Principal, Role

OPERATOR = Principal(Role.INTEGRATION, subject="ada")


class SlowBuffer:
    """Stores the records of even employees at once, and hangs with those of odd ones."""

    def __init__(self, released: threading.Event) -> None:
        self.released = released

    def put(self, record: PointRecord) -> tuple[PointRecord, bool]:
        if record.employee_id % 2:
            self.released.wait(10)
        return record, True


@pytest.mark.parametrize("size", [2, 100])
def test_array_ends_in_time_with_what_is_known_of_each_item(size: int) -> None:
    released = threading.Event()
    intake = Intake(
        cast(Buffer, SlowBuffer(released)),
        lambda: datetime(2026, 11, 28, tzinfo=UTC),
        clock_skew_s=60,
        retention_months=62,
        max_body_bytes=65_536,
        max_batch=100,
        threads=60,
        array_timeout_s=0.3,
    )
    punches: list[Any] = [
        {"employeeId": each, "employerId": 1, "includedAt": "2026-11-27T08:00:00Z"}
        for each in range(1, size + 1)
    ]
    punches[0] = {"employeeId": 1}
    started = time.monotonic()
    try:
        results = intake.accept(json.dumps(punches).encode(), OPERATOR)
        assert time.monotonic() - started < 3
    finally:
        released.set()
    assert isinstance(results, list)
    assert isinstance(results[0], PunchClockError)
    assert results[0].code == "Malformed"
    assert all(isinstance(each, Accepted) for each in results[1::2])
    for each in results[2::2]:
        assert isinstance(each, UnavailableError)
        assert "may be stored or not" in each.message
