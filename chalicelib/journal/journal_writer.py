"""Journal the pages of one sweep of the replicator, and stop at the first fault.

Invariant: a page may leave the buffer only after the journal has it. While the journal is
unavailable, pages are still committed to Postgres, and stay in the buffer.
"""

import time
from collections.abc import Callable, Sequence

from chalicelib.bounded_call import begin
from chalicelib.journal.journal_files import RECORDS, Journal


class SweepJournal:
    """What one sweep writes to the journal.

    Args:
        journal: None if the stage has no journal. Every page may then leave the buffer.
        timeout_s: how long a page waits for the journal.
    """

    def __init__(self, journal: Journal | None, timeout_s: float) -> None:
        self._journal = journal
        self._timeout_s = timeout_s
        self._fault: Exception | None = None

    def begin(self, lines: Sequence[str]) -> Callable[[], bool]:
        """Start to write a page.

        Returns:
            A function that waits until the page is written, at most ``timeout_s`` from now. It
            returns whether the page may leave the buffer. Any thread may call it, repeatedly.
        """
        journal = self._journal
        if journal is None:
            return lambda: True
        if self._fault is not None:  # do not spend the time-out on each further page
            return lambda: False
        until = time.monotonic() + self._timeout_s
        written = begin(lambda: journal.write(RECORDS, lines), "The journal")

        def may_leave() -> bool:
            try:
                written(until - time.monotonic())
            except Exception as error:  # noqa: BLE001 - ``end`` raises it
                self._fault = error
                return False
            return True

        return may_leave

    def end(self) -> None:
        """Raise the fault that kept pages in the buffer, if there was one.

        Raises:
            UnavailableError: the journal did not answer, or not in time.
        """
        if self._fault is not None:
            raise self._fault
