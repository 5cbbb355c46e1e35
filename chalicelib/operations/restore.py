"""Restore: put back, from the journal, what Postgres has lost.

First the erasures, then the records, then the deliveries, file by file in the order of their
writing. The file of a further post may be older than that of its record, if the journal was away in
between: such files are read once more after all records. Every step is idempotent, so a restore
that was killed is simply run again, from its start or from its cursor. Meanwhile no run of the
integrator claims a record. What the journal does not have is not restored: failed attempts, replays
by operators, and the statistics of runs.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta

from chalicelib import telemetry
from chalicelib.errors import InvalidCursorError, InvalidError
from chalicelib.instant import read_instant, to_text
from chalicelib.journal.journal_files import (
    DELIVERIES,
    ERASURES,
    JOURNAL_BEGINS,
    KINDS,
    RECORDS,
    DamagedFileError,
    Journal,
    read_cursor,
)
from chalicelib.journal.journal_lines import parse_deliveries, parse_erasures, parse_records
from chalicelib.operations.erase import Erased, erase_in_postgres
from chalicelib.operations.person import Person
from chalicelib.postgres.personal_records import PersonalRecords
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.restoration import Restoration

# How much earlier than ``since`` the restore begins. It covers the difference between the clocks of
# the database and of the writers of the journal, and a delivery that waited for its journal.
_OVERLAP = timedelta(minutes=10)
# The time kept for the last file: a commit of its records, and the answer.
_MARGIN_S = 15.0


@dataclass(slots=True)
class Restored:
    """The result of a restore.

    Attributes:
        files: the files that were read.
        records: the records that Postgres did not have, and has now.
        already_there: the records that Postgres had.
        quarantined: the items that were put into quarantine, or were there.
        other_evidence: the rows of logs that were written for further posts of records.
        without_record: the further posts whose records are nowhere: they are not restored.
        erasures: the erasures that were repeated.
        deliveries: the records that are marked as delivered now, and were not before.
        damaged: the names of files that could not be read, or not wholly.
        cursor: where the next call continues; None if nothing is left.
    """

    files: int = 0
    records: int = 0
    already_there: int = 0
    quarantined: int = 0
    other_evidence: int = 0
    without_record: int = 0
    erasures: int = 0
    deliveries: int = 0
    damaged: list[str] = field(default_factory=list)
    cursor: str | None = None

    def add(self, part: "Restored") -> None:
        """Add what one more file has brought."""
        for each in fields(self):
            if each.name != "cursor":
                setattr(self, each.name, getattr(self, each.name) + getattr(part, each.name))


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a restore reads and writes.

    Attributes:
        journal: the source.
        records: the records and the quarantine.
        personal: repeats erasures.
        restoration: marks deliveries, and pauses the integrator.
    """

    journal: Journal
    records: PointRecordStore
    personal: PersonalRecords
    restoration: Restoration


def restore(
    since: object,
    cursor: object,
    stores: Stores,
    remaining_s: Callable[[], float],
    now: datetime,
    first_id: str,
) -> Restored:
    """Put back what the journal has since an instant, as far as the time suffices.

    Args:
        since: RFC 3339: the instant to which Postgres was taken back.
        cursor: the ``cursor`` of the call before, to continue; None to start.
        stores: where to read and write.
        remaining_s: returns the time left.
        now: the present.
        first_id: records with smaller ids are older than the retention, and stay dropped.

    Raises:
        InvalidError: ``since`` is not an instant of the past, or ``cursor`` is not one that an
            earlier call returned.
        UnavailableError: a store or the journal did not answer. A second call is safe.
    """
    start, position = _start(since, now), _read_position(cursor)
    result = Restored(cursor=str(position))
    stores.restoration.pause_integration()
    for each in _PASSES:
        after = position.begin(each)
        if after is None:
            continue
        for name in stores.journal.names(each.kind, start, after):
            if remaining_s() <= _MARGIN_S:
                return result
            of_file = _restore_file(name, each, stores, first_id)
            position.move(each, name, waits=of_file.waits)
            result.add(of_file.restored)
            result.cursor = str(position)
    result.cursor = None
    stores.restoration.resume_integration()
    return result


@dataclass(frozen=True, slots=True)
class _FileResult:
    """What a file has brought. ``faults`` counts the lines that are not what was written.

    ``waits`` says whether the file has posts whose records may come with a later file.
    """

    restored: Restored
    faults: int = 0
    waits: bool = False


def _restore_erasures(lines: Sequence[str], stores: Stores, _: str) -> _FileResult:
    """Repeat erasures."""
    erasures, faults = parse_erasures(lines)
    for each in erasures:
        person = Person(each.employer, each.employee)
        erase_in_postgres(person, each.until, each.ids, stores.personal, Erased())
    return _FileResult(Restored(erasures=len(erasures)), faults)


def _restore_records(lines: Sequence[str], stores: Stores, first_id: str) -> _FileResult:
    """Add records, further posts and quarantined items."""
    parsed = parse_records(lines)
    documents = [each for each in parsed.documents if each.id >= first_id]
    posts = [each for each in parsed.posts if each.id >= first_id]
    added = stores.records.add(documents, parsed.poison, posts)
    keys = {each.key for each in documents}
    rejected = sum(each.item_id in keys for each in added.rejected)
    restored = Restored(
        records=added.written,
        already_there=len(documents) - added.written - rejected,
        quarantined=len(parsed.poison) + len(added.rejected),
        other_evidence=added.evidence.logged,
    )
    return _FileResult(restored, parsed.faults, waits=bool(added.evidence.without_record))


def _restore_waiting_posts(lines: Sequence[str], stores: Stores, first_id: str) -> _FileResult:
    """Log further posts once more, since their records may be there now."""
    posts = [each for each in parse_records(lines).posts if each.id >= first_id]
    evidence = stores.records.add((), (), posts).evidence
    without_record = len(evidence.without_record)
    return _FileResult(Restored(other_evidence=evidence.logged, without_record=without_record))


def _restore_deliveries(lines: Sequence[str], stores: Stores, _: str) -> _FileResult:
    """Mark records as delivered."""
    deliveries, faults = parse_deliveries(lines)
    return _FileResult(Restored(deliveries=stores.restoration.mark_delivered(deliveries)), faults)


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass over the files of a kind.

    Attributes:
        restore: puts back what the lines of a file say of records since an id.
        again: the pass before has read, counted and checked the files.
    """

    kind: str
    restore: Callable[[Sequence[str], Stores, str], _FileResult]
    again: bool = False


_PASSES = (
    _Pass(ERASURES, _restore_erasures),
    _Pass(RECORDS, _restore_records),
    _Pass(RECORDS, _restore_waiting_posts, again=True),
    _Pass(DELIVERIES, _restore_deliveries),
)


def _restore_file(name: str, each: _Pass, stores: Stores, first_id: str) -> _FileResult:
    """Restore one file in a pass, and log whether it is damaged."""
    try:
        lines = stores.journal.read(name)
    except DamagedFileError as error:
        if each.again:
            return _FileResult(Restored())
        telemetry.error("a file of the journal is damaged", error, file=name)
        return _FileResult(Restored(files=1, damaged=[name]))
    result = each.restore(lines, stores, first_id)
    result.restored.files = 0 if each.again else 1
    if result.faults:
        result.restored.damaged.append(name)
        telemetry.event(
            "a file of the journal is damaged", level=logging.ERROR, file=name, lines=result.faults
        )
    return result


def _start(since: object, now: datetime) -> datetime:
    """Return the instant from which on files are read.

    Raises:
        InvalidError: ``since`` is not an instant of the past.
    """
    if since is None:
        raise InvalidError(
            "since is missing. Send the instant to which Postgres was taken back, such as"
            " 2026-11-22T08:00:00Z.",
            target="since",
        )
    try:
        instant = read_instant(since).astimezone(UTC)
    except ValueError as error:
        raise InvalidError(f"since {error}.", target="since") from error
    if instant > now:
        raise InvalidError(f"since is in the future. The time is {to_text(now)}.", target="since")
    return max(instant, JOURNAL_BEGINS) - _OVERLAP


@dataclass(slots=True)
class _Position:
    """How far a restore has come; as text, its cursor.

    Attributes:
        done: the last file that was restored, or the kind of the files to begin with and a slash.
        again: after which file posts without a record are read once more; empty if there are none.
    """

    done: str
    again: str = ""

    @property
    def _kind(self) -> str:
        """The kind of ``done``."""
        return self.done.partition("/")[0]

    def begin(self, each: _Pass) -> str | None:
        """Return after which file a pass goes on; None if it has nothing left to do."""
        if KINDS.index(each.kind) < KINDS.index(self._kind):
            return None
        if each.again:
            return self.again or None
        return self.done if each.kind == self._kind else ""

    def move(self, each: _Pass, name: str, *, waits: bool) -> None:
        """Move past one more file, of which posts may wait for their records."""
        if each.again:
            self.again = name
            return
        if waits and not self.again:
            self.again = self.done if self._kind == RECORDS else f"{RECORDS}/"
        self.done = name

    def __str__(self) -> str:
        return f"{self.done} {self.again}".rstrip()


def _read_position(cursor: object) -> _Position:
    """Return where to continue.

    Raises:
        InvalidCursorError: it is not of the form that a restore returns.
    """
    if cursor is None:
        return _Position(f"{KINDS[0]}/")
    done, _, again = read_cursor(cursor).partition(" ")
    is_known = done.startswith(tuple(f"{kind}/" for kind in KINDS))
    if not is_known or (again and not again.startswith(f"{RECORDS}/")):
        raise InvalidCursorError
    return _Position(done, again)
