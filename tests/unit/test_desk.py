"""Database work in a thread of its own: one piece at a time, whose result comes back to the run."""

import threading

import pytest

from chalicelib.errors import UnavailableError
from chalicelib.integrator.database_worker import Desk


def test_a_result_is_taken_by_the_thread_that_handed_the_work_over() -> None:
    woken = threading.Event()
    desk = Desk(woken.set)
    done_by: list[threading.Thread] = []
    taken: list[tuple[str, threading.Thread]] = []

    def work() -> str:
        done_by.append(threading.current_thread())
        return "result"

    desk.begin(work, lambda result: taken.append((result, threading.current_thread())))
    assert woken.wait(10)
    assert desk.is_busy
    assert taken == []
    desk.take()
    assert not desk.is_busy
    assert taken == [("result", threading.current_thread())]
    assert done_by != [threading.current_thread()]


def test_what_the_work_raises_is_raised_where_its_result_would_be_taken() -> None:
    desk = Desk(lambda: None)

    def work() -> None:
        raise UnavailableError("gone")

    desk.begin(work, lambda _: None)
    with pytest.raises(UnavailableError, match="gone"):
        desk.finish(10)
    assert not desk.is_busy
    desk.finish(0)  # there is nothing to wait for


def test_work_that_does_not_end_is_waited_for_no_longer_than_allowed() -> None:
    may_end = threading.Event()
    desk = Desk(lambda: None)
    desk.begin(may_end.wait, lambda _: None)
    desk.take()  # not ended: nothing to take, and no wait
    with pytest.raises(UnavailableError):
        desk.finish(0.05)
    with pytest.raises(AssertionError):
        desk.begin(may_end.wait, lambda _: None)
    may_end.set()
    desk.finish(10)
    assert not desk.is_busy
