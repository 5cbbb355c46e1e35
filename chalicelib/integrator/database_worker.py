"""The database worker: runs a run's database tasks, one at a time, while calls are in flight.

Claiming and settling wait for Postgres. In a thread of their own they delay no call.

Invariants:

- Two tasks never overlap, so the run learns about its leases in the order in which Postgres
  processed the tasks (docs/decisions/0007).
- Waiting for a task is bounded.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from chalicelib.errors import UnavailableError

T = TypeVar("T")


class DatabaseWorker:
    """Runs tasks in another thread, and hands each result back to the thread that submitted it.

    All methods belong to one thread, the owner.

    Args:
        wake: called in the other thread when a task has ended.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._current: tuple[Future[Any], Callable[[Any], None]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there is a task whose result was not collected yet."""
        return self._current is not None

    def submit(self, task: Callable[[], T], on_result: Callable[[T], None]) -> None:
        """Start a task. When it has succeeded, ``collect`` passes its result to ``on_result``."""
        assert self._current is None, "a task is running"  # noqa: S101 - a bug in the caller
        future: Future[T] = Future()

        def work() -> None:
            try:
                result = task()
            except BaseException as error:  # noqa: BLE001 - ``collect`` raises it
                future.set_exception(error)
            else:
                future.set_result(result)
            self._wake()

        self._current = future, on_result
        # A daemon: a Postgres that does not respond must not keep the process from exiting.
        threading.Thread(target=work, name="database-worker", daemon=True).start()

    def collect(self) -> None:
        """Collect the result of the task if it has ended; raise what the task raised."""
        if self._current and self._current[0].done():
            future, on_result = self._current
            self._current = None
            on_result(future.result())

    def wait(self, timeout_s: float) -> None:
        """Wait for the current task, if there is one, and collect its result.

        Raises:
            UnavailableError: the task did not end within ``timeout_s``. It goes on unattended.
        """
        if self._current:
            wait([self._current[0]], max(0.0, timeout_s))
            if not self._current[0].done():
                raise UnavailableError("The database did not respond before the end of the run.")
        self.collect()
