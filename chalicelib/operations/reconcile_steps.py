"""Reconcile a period in steps, each of which ends in time for the response to a request.

The period is reconciled slice by slice. A slice for which the time did not suffice is repeated,
shorter; after a fast one, the slices are longer. A cursor says where the next step continues.

    since                                                        until
      ├── slice ──┼── slice ──┼──── longer slice ────┤ …           │
      ╰──────── step 1 ───────╯╰──── step 2 ─────────╯             ╯
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.buffered_items import BufferedItems
from chalicelib.errors import InvalidCursorError, UnavailableError
from chalicelib.instant import read_instant, to_text
from chalicelib.operations.reconciler import PERIOD_RECONCILED, Reconciliation, reconcile
from chalicelib.postgres.point_records import PointRecordStore

_FIRST_SLICE = timedelta(minutes=15)
_SHORTEST_SLICE = timedelta(seconds=1)
_SHORTENED, _LENGTHENED = 8, 4
_CURSOR = re.compile(r"([^/]{1,40})/([^/]{1,40})/PT(\d{1,9})S", re.ASCII)

Accepted = Callable[[datetime, datetime, Callable[[], None]], Iterable[str]]
"""Returns the ids that were accepted in a period, and calls a function while it reads them."""


@dataclass(slots=True)
class Step:
    """What one step has reconciled: the sums of its slices, and where the next step continues.

    An id that was accepted in two slices is counted in both. ``cursor`` is None at the end of the
    period, and ``reached`` the instant up to which the period is reconciled.
    """

    reached: datetime
    cursor: str | None = None
    counts: dict[str, int] = field(default_factory=lambda: Reconciliation().counts)
    missing: list[str] = field(default_factory=list)
    unlogged: list[str] = field(default_factory=list)


class _OutOfTimeError(Exception):
    """The time of the step is over."""


def step(
    first: datetime,
    until: datetime,
    cursor: object,
    accepted: Accepted,
    buffer: BufferedItems,
    store: PointRecordStore,
    timeout_s: float,
) -> Step:
    """Reconcile the next slices of a period, as many as the time allows.

    Args:
        first: the first instant of the period.
        until: the first instant after the period.
        cursor: the cursor of the last step, which replaces both; None for the first step.
        accepted: reads the log of intake.
        buffer: the records that are not in Postgres yet.
        store: the records and the quarantine in Postgres.
        timeout_s: when to stop; the current page of the log is still read.

    Raises:
        InvalidCursorError: ``cursor`` is not one that an earlier step returned.
        UnavailableError: a store cannot be reached, or one second of the log takes too long.
    """
    deadline = time.monotonic() + timeout_s
    length = _FIRST_SLICE
    if cursor is not None:
        first, until, length = _read_cursor(cursor)

    def check() -> None:
        if time.monotonic() >= deadline:
            raise _OutOfTimeError

    result = Step(reached=first)
    while result.reached < until and time.monotonic() < deadline:
        started = time.monotonic()
        end = min(until, result.reached + length)
        try:
            ids = accepted(result.reached, end, check)
            _add(result, reconcile(_each(ids, check), buffer, store, PERIOD_RECONCILED))
        except _OutOfTimeError as error:
            if started < deadline - timeout_s / 2:  # it had most of the time
                if length <= _SHORTEST_SLICE:
                    raise UnavailableError(
                        "The log of one second cannot be read in time. Use the function"
                        " reconcile-period: docs/operations.md."
                    ) from error
                length = max(_SHORTEST_SLICE, length / _SHORTENED)
            break
        result.reached = end
        if time.monotonic() - started < timeout_s / _LENGTHENED / 2:
            length *= _LENGTHENED
    if result.reached < until:
        seconds = min(999_999_999, max(1, round(length.total_seconds())))
        result.cursor = f"{to_text(result.reached)}/{to_text(until)}/PT{seconds}S"
    return result


def _each(ids: Iterable[str], check: Callable[[], None]) -> Iterable[str]:
    for each in ids:
        check()
        yield each


def _add(result: Step, slice_: Reconciliation) -> None:
    for name, count in slice_.counts.items():
        result.counts[name] += count
    result.missing += slice_.missing
    result.unlogged += slice_.unlogged


def _read_cursor(cursor: object) -> tuple[datetime, datetime, timedelta]:
    match = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    try:
        if match is None:
            raise ValueError("is no cursor")
        first, until = read_instant(match[1]), read_instant(match[2])
        return first, until, max(_SHORTEST_SLICE, timedelta(seconds=int(match[3])))
    except ValueError as error:
        raise InvalidCursorError from error
