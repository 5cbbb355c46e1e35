"""A caller waits for a bounded time for a call that may hang."""

import threading
from concurrent.futures import Future
from typing import Never

import pytest

from chalicelib import bounded_call, telemetry
from chalicelib.bounded_call import begin
from chalicelib.errors import UnavailableError


def test_the_result_is_that_of_the_call() -> None:
    assert begin(lambda: 7, "A store")(10) == 7


@pytest.mark.parametrize("error", [ValueError("x"), UnavailableError("x"), TimeoutError("x")])
def test_the_error_is_that_of_the_call(error: Exception) -> None:
    def fail() -> Never:
        raise error

    with pytest.raises(type(error)) as raised:
        begin(fail, "A store")(10)
    assert raised.value is error


@pytest.mark.parametrize("within_s", [0.05, 0, -1])
def test_a_call_that_takes_longer_is_abandoned(within_s: float) -> None:
    ended = threading.Event()
    result = begin(lambda: ended.wait(10), "A store")
    try:
        with pytest.raises(UnavailableError, match="A store did not answer in time"):
            result(within_s)
    finally:
        ended.set()
    assert result(10) is True


def test_a_call_that_ends_at_the_timeout_has_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    class EndsAtTheTimeout(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            result = super().result(10)
            if timeout is not None:
                raise TimeoutError
            return result

    monkeypatch.setattr(bounded_call, "Future", EndsAtTheTimeout)
    assert begin(lambda: 7, "A store")(10) == 7


def test_calls_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2)
    first, second = (begin(lambda: barrier.wait(10), "A store") for _ in range(2))
    assert {first(10), second(10)} == {0, 1}


def test_the_log_lines_of_a_call_have_the_ids_of_the_request() -> None:
    before = telemetry.bound()
    telemetry.bind({"request_id": "r"})
    try:
        assert begin(telemetry.bound, "A store")(10) == {"request_id": "r"}
    finally:
        telemetry.bind(before)
