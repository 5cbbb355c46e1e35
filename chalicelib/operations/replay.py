"""Replay: return parked records to the queue, once an operator has removed the cause.

A replayed record is due at once and waits like every other. The integrator sends it under the
limit. Its attempts count from 0 again, so it is parked again after MAX_ATTEMPTS attempts that end
in a failure or a refusal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chalicelib.errors import InvalidCursorError, InvalidError
from chalicelib.instant import read_instant, to_text
from chalicelib.postgres.dead_letters import DeadLetters
from chalicelib.principal import Principal

_BATCH = 5_000
# The time kept for the last batch. A batch takes about a second.
_MARGIN_S = 5.0
_MAX_FILTER = 4_000
_BEGINNING = "0001-01-01T00:00:00Z"


class SqlCondition(Protocol):
    """A filter translated to SQL, as ``odata.sql.filter.translate_filter`` returns it."""

    @property
    def source(self) -> str: ...
    @property
    def alias(self) -> str: ...
    @property
    def sql(self) -> str: ...
    @property
    def parameters(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Replay:
    """How many records were replayed. ``more`` is true if time ran out before all were.

    ``cursor`` is where the command stopped, if there is more: another call continues there.
    """

    replayed: int
    more: bool
    cursor: str | None = None


def replay(
    text: object,
    by: Principal,
    translate: Callable[[str, Principal], SqlCondition],
    dead_letters: DeadLetters,
    remaining_s: Callable[[], float],
    *,
    batch: int = _BATCH,
    margin_s: float = _MARGIN_S,
    cursor: object = None,
) -> Replay:
    """Return each parked record that a filter selects to the queue.

    The command ignores records that are not parked, and records that are parked again after it has
    begun: one command replays a record at most once.

    Each record's log names the operator. It does not quote the filter, which may be about other
    records: the record's owner may read the log.

    Args:
        text: an OData ``$filter`` on point records.
        by: the operator. Only records that this principal may read are replayed.
        translate: translates the filter to SQL.
        dead_letters: the parked records.
        remaining_s: returns the time left. Records that the time does not suffice for stay parked.
        batch: most records of one transaction.
        margin_s: no transaction begins with less time left.
        cursor: the cursor of the call that this one continues; None for a new command. Together,
            these calls replay a record at most once.

    Raises:
        InvalidError: the filter is missing, too long, or not a condition on point records; or the
            cursor is not one that ``replay`` returned.
        NotImplementedByServiceError: the filter is legal OData that the service does not support.
        UnavailableError: some records may be replayed; a second call is safe.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidError(
            'A filter is required, such as "employerId eq 121". Send "true" to replay all'
            " parked records.",
            target="filter",
        )
    if len(text) > _MAX_FILTER:
        raise InvalidError(
            f"The filter must not be longer than {_MAX_FILTER} characters.", target="filter"
        )
    condition = translate(text, by)
    since, until = _read_cursor(cursor)
    until = until or dead_letters.now()
    replayed, count = 0, batch
    while since is not None and count == batch and remaining_s() > margin_s:
        count, since = dead_letters.replay(
            condition.source,
            condition.alias,
            condition.sql,
            condition.parameters,
            since=since,
            until=until,
            max_records=batch,
            log=f"Replayed by {by.subject}.",
        )
        replayed += count
    if count < batch or since is None:
        return Replay(replayed, more=False)
    return Replay(replayed, more=True, cursor=f"{_rfc3339(since)}/{_rfc3339(until)}")


def _read_cursor(cursor: object) -> tuple[str | None, str | None]:
    """Return from which parking on, and up to which, the command replays; None: up to now."""
    if cursor is None:
        return "-infinity", None
    since, _, until = cursor.partition("/") if isinstance(cursor, str) else ("", "", "")
    try:
        return to_text(read_instant(since)), to_text(read_instant(until))
    except ValueError as error:
        raise InvalidCursorError from error


def _rfc3339(instant: str) -> str:
    """Return an instant that Postgres wrote in the form that ``_read_cursor`` reads."""
    return to_text(datetime.fromisoformat(instant)) if instant != "-infinity" else _BEGINNING
