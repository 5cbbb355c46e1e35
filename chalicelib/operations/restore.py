"""Restore: put back, from the journal, what Postgres has lost.

First the erasures, then the records, then the deliveries, file by file in the order of their
writing. The file of a further post may be older than that of its record, if the journal was away in
between: such files are read once more after all records. Every step is idempotent, so a restore
that was killed is simply run again, from its start or from its cursor. Meanwhile no run of the
integrator claims a record. What the journal does not have is not restored: failed attempts, replays
by operators, and the statistics of runs.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from chalicelib import telemetry
from chalicelib.errors import InvalidCursorError, InvalidError
from chalicelib.instant import read_instant, to_text
from chalicelib.journal.journal_files import ERASURES, KINDS, RECORDS, DamagedFileError, Journal
from chalicelib.journal.journal_lines import parse_deliveries, parse_erasures, parse_records
from chalicelib.operations.erase import Erased, erase_in_postgres
from chalicelib.operations.person import Person
from chalicelib.postgres.personal_records import PersonalRecords
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.restoration import Restoration

# How much earlier than ``since`` the restore begins. It covers the difference between the clocks of
# the database and of the writers of the journal, and a delivery that waited for its journal.
_OVERLAP = timedelta(minutes=10)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # no journal is older
# The time kept for the last file: a commit of its records, and the answer.
_MARGIN_S = 15.0
_MAX_CURSOR = 200


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
    start, position = _start(since, now), _position(cursor)
    result = Restored(cursor=str(position))
    stores.restoration.pause_integration()
    first = position.kind
    for kind in KINDS[KINDS.index(first) :]:
        for name in stores.journal.names(kind, start, position.done if kind == first else ""):
            if remaining_s() <= _MARGIN_S:
                return result
            waiting = _restore_file(name, kind, stores, first_id, result)
            result.files += 1
            position = position.after(name, waiting=waiting > 0)
            result.cursor = str(position)
        if kind != RECORDS or not position.again:
            continue
        for name in stores.journal.names(kind, start, position.again):
            if remaining_s() <= _MARGIN_S:
                return result
            result.without_record += _restore_posts(name, stores, first_id, result)
            position = _Position(position.done, name)
            result.cursor = str(position)
        position = _Position(position.done)
    result.cursor = None
    stores.restoration.resume_integration()
    return result


def _restore_file(name: str, kind: str, stores: Stores, first_id: str, result: Restored) -> int:
    """Restore one file, and count what it brings in ``result``.

    Returns:
        How many further posts have no record yet.
    """
    waiting = 0
    try:
        lines = stores.journal.read(name)
    except DamagedFileError as error:
        result.damaged.append(name)
        telemetry.error("a file of the journal is damaged", error, file=name)
        return 0
    if kind == ERASURES:
        erasures, faults = parse_erasures(lines)
        for each in erasures:
            person = Person(each.employer, each.employee)
            erase_in_postgres(person, each.until, each.ids, stores.personal, Erased())
        result.erasures += len(erasures)
    elif kind == RECORDS:
        parsed = parse_records(lines)
        documents = [each for each in parsed.documents if each.id >= first_id]
        posts = [each for each in parsed.posts if each.id >= first_id]
        added = stores.records.add(documents, parsed.poison, posts)
        keys = {each.key for each in documents}
        rejected = sum(each.item_id in keys for each in added.rejected)
        result.records += added.written
        result.already_there += len(documents) - added.written - rejected
        result.quarantined += len(parsed.poison) + len(added.rejected)
        result.other_evidence += added.evidence.logged
        waiting = len(added.evidence.without_record)
        faults = parsed.faults
    else:
        deliveries, faults = parse_deliveries(lines)
        result.deliveries += stores.restoration.mark_delivered(deliveries)
    if faults:
        result.damaged.append(name)
        telemetry.event(
            "a file of the journal is damaged", level=logging.ERROR, file=name, lines=faults
        )
    return waiting


def _restore_posts(name: str, stores: Stores, first_id: str, result: Restored) -> int:
    """Restore the further posts of a file once more; return how many still have no record."""
    try:
        parsed = parse_records(stores.journal.read(name))
    except DamagedFileError:  # it is named already
        return 0
    posts = [each for each in parsed.posts if each.id >= first_id]
    evidence = stores.records.add((), (), posts).evidence
    result.other_evidence += evidence.logged
    return len(evidence.without_record)


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
    return max(instant, _EARLIEST) - _OVERLAP


@dataclass(frozen=True, slots=True)
class _Position:
    """How far a restore has come; as text, its cursor.

    Attributes:
        done: the last file that was restored, or the kind of the files to begin with and a slash.
        again: after which file posts without a record are read once more; empty if there are none.
    """

    done: str
    again: str = ""

    @property
    def kind(self) -> str:
        """The kind of ``done``."""
        return self.done.partition("/")[0]

    def after(self, name: str, *, waiting: bool) -> "_Position":
        """Return the position after one more file, of which posts may wait for their records."""
        if not waiting or self.again:
            return _Position(name, self.again)
        return _Position(name, self.done if self.kind == RECORDS else f"{RECORDS}/")

    def __str__(self) -> str:
        return f"{self.done} {self.again}".rstrip()


def _position(cursor: object) -> _Position:
    """Return where to continue.

    Raises:
        InvalidCursorError: it is not of the form that a restore returns.
    """
    if cursor is None:
        return _Position(f"{KINDS[0]}/")
    if not isinstance(cursor, str) or len(cursor) > _MAX_CURSOR or not cursor.isascii():
        raise InvalidCursorError
    done, _, again = cursor.partition(" ")
    is_known = done.startswith(tuple(f"{kind}/" for kind in KINDS))
    if not is_known or (again and not again.startswith(f"{RECORDS}/")):
        raise InvalidCursorError
    return _Position(done, again)
