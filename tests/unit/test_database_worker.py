"""The database worker: tasks run in another thread, and their results return to the owner's."""

import threading

import pytest

from chalicelib.errors import UnavailableError
from chalicelib.integrator.database_worker import DatabaseWorker


def test_result_is_collected_in_the_thread_that_submitted_the_task() -> None:
    woken = threading.Event()
    worker = DatabaseWorker(woken.set)
    task_threads: list[threading.Thread] = []
    results: list[tuple[str, threading.Thread]] = []

    def task() -> str:
        task_threads.append(threading.current_thread())
        return "result"

    worker.submit(task, lambda result: results.append((result, threading.current_thread())))
    assert woken.wait(10)
    assert worker.is_busy
    assert results == []
    worker.collect()
    assert not worker.is_busy
    assert results == [("result", threading.current_thread())]
    assert task_threads != [threading.current_thread()]


def test_error_of_a_task_is_raised_when_its_result_is_collected() -> None:
    worker = DatabaseWorker(lambda: None)

    def task() -> None:
        raise UnavailableError("gone")

    worker.submit(task, lambda _: None)
    with pytest.raises(UnavailableError, match="gone"):
        worker.wait(10)
    assert not worker.is_busy
    worker.wait(0)  # without a task, this is a no-op


def test_wait_for_a_task_ends_at_its_timeout() -> None:
    may_end = threading.Event()
    worker = DatabaseWorker(lambda: None)
    worker.submit(may_end.wait, lambda _: None)
    worker.collect()  # the task is still running: a no-op
    with pytest.raises(UnavailableError):
        worker.wait(0.05)
    with pytest.raises(AssertionError):
        worker.submit(may_end.wait, lambda _: None)
    may_end.set()
    worker.wait(10)
    assert not worker.is_busy
