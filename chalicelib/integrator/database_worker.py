"""The desk: where a run's database work is done, one piece at a time, while calls are in flight.

Claiming and settling take Postgres' time, not ours: in a thread of its own such a piece of work
keeps no call waiting. Promises that no two pieces overlap, so that what the run knows of its leases
is in the order in which Postgres was told, and that waiting for one ends in time.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from chalicelib.errors import UnavailableError

T = TypeVar("T")


class Desk:
    """Belongs to one thread, which hands work over and takes its result back.

    Args:
        wake: called in the other thread when a piece of work has ended.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._under_way: tuple[Future[Any], Callable[[Any], None]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether work is under way whose result was not taken yet."""
        return self._under_way is not None

    def begin(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Begin ``work``; once it has ended well, ``take`` calls ``then`` with its result."""
        assert self._under_way is None, "work is under way"  # noqa: S101 - a fault of ours
        future: Future[T] = Future()

        def do() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it is raised by ``take``
                future.set_exception(error)
            else:
                future.set_result(result)
            self._wake()

        self._under_way = future, then
        # A daemon: a Postgres that does not answer must not keep the process from ending.
        threading.Thread(target=do, daemon=True).start()

    def take(self) -> None:
        """Take the result of the work, if it has ended; what it raised is raised."""
        if self._under_way and self._under_way[0].done():
            future, then = self._under_way
            self._under_way = None
            then(future.result())

    def finish(self, timeout_s: float) -> None:
        """Wait for the work under way, if there is any, and take its result.

        Raises:
            UnavailableError: it has not ended within ``timeout_s`` and is left to itself.
        """
        if self._under_way:
            wait([self._under_way[0]], max(0.0, timeout_s))
            if not self._under_way[0].done():
                raise UnavailableError("The database did not answer before the run's end.")
        self.take()
