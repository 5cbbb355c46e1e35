"""Erase a person's evidence (device, position), and at the operator's request the punches.

    register in the journal ──▶ buffer ──▶ Postgres, logs, quarantine ──▶ files of the journal

Each step is idempotent, so an erasure that was killed is run again, from its start or its cursor.
The register is first: a restore to an earlier instant repeats every erasure of the time since.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import monotonic, sleep
from uuid import UUID

from chalicelib.buffered_items import BufferedItems
from chalicelib.journal.journal_files import (
    ERASURES,
    JOURNAL_BEGINS,
    RECORDS,
    DamagedFileError,
    Journal,
    read_cursor,
)
from chalicelib.journal.journal_lines import QUARANTINED, Erasure, erasure_line
from chalicelib.operations.person import (
    Person,
    decode,
    quarantined_without_evidence,
    without_evidence,
)
from chalicelib.postgres.personal_records import PersonalRecords

_MARGIN_S = 20.0
_PARALLEL_READS = 16
# How much the clocks of functions may differ.
_CLOCK_SKEW_S = 60.0
_MAX_IDS_PER_LINE = 5_000


@dataclass(slots=True)
class Erased:
    """What an erasure has changed, where.

    Attributes:
        until: records accepted before this instant are erased.
        buffer: items of the buffer without their evidence now.
        records: records in Postgres without their evidence now.
        logs: rows of the log without their text now.
        quarantine: quarantined items without their evidence now.
        punches: punches that are deleted from Postgres, with their logs.
        unsettled: punches that stay, since the legacy is still to get them, or had them within the
            last hour: run the command again later.
        journal_files: files of the journal that were rewritten.
        damaged: files of the journal that could not be read.
        cursor: where the next call continues; None if nothing is left.
    """

    until: str = ""
    buffer: int = 0
    records: int = 0
    logs: int = 0
    quarantine: int = 0
    punches: int = 0
    unsettled: int = 0
    journal_files: int = 0
    damaged: list[str] = field(default_factory=list)
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the data of a person is. ``journal`` is None if the stage has none."""

    buffer: BufferedItems
    records: PersonalRecords
    journal: Journal | None


def erase(
    person: Person,
    cursor: object,
    stores: Stores,
    remaining_s: Callable[[], float],
    *,
    with_punches: bool,
    grace_s: float,
) -> Erased:
    """Erase what every store has of a person until now, as far as the time suffices.

    Args:
        person: whose data.
        cursor: the ``cursor`` of the call before, to continue among the journal's files.
        stores: where to erase.
        remaining_s: returns the time left.
        with_punches: erase the punches, too.
        grace_s: the longest that writing a file of the journal may take. A file that is being
            written when the erasure begins appears later: recent files are read again after this
            time.

    Raises:
        InvalidCursorError: ``cursor`` is not one that an earlier call returned.
        UnavailableError: a store or the journal did not answer, or another erasure is running. A
            second call is safe.
    """
    position = "" if cursor is None else read_cursor(cursor)
    with stores.records.only_erasure(max(60.0, remaining_s())):
        return _erase(
            person, position, stores, remaining_s, with_punches=with_punches, grace_s=grace_s
        )


def _erase(
    person: Person,
    position: str,
    stores: Stores,
    remaining_s: Callable[[], float],
    *,
    with_punches: bool,
    grace_s: float,
) -> Erased:
    records, journal = stores.records, stores.journal
    until = datetime.now(UTC)
    result = Erased(until=until.isoformat(timespec="seconds"))

    def register(ids: Sequence[str] = ()) -> None:
        if journal:
            erasure = Erasure(person.employer, person.employee, until, tuple(ids))
            journal.write(ERASURES, [erasure_line(erasure)])

    register()
    erase_in_postgres(person, until, (), records, result)
    if with_punches:
        ids, result.unsettled = records.settled_ids(person.employer, person.employee, until)
        for chunk in _chunks(ids):
            erased = records.erase_settled(chunk, register)
            result.punches += erased
            result.unsettled += len(chunk) - erased  # replayed meanwhile
    result.buffer = _erase_in_buffer(person, stores.buffer)
    if journal:
        look_again_at = monotonic() + grace_s
        names = journal.names(RECORDS, JOURNAL_BEGINS, position)
        if _erase_in_journal(person, journal, names, position, records, result, remaining_s):
            wait_s = max(0.0, look_again_at - monotonic())
            if wait_s > remaining_s() - _MARGIN_S:
                return result
            sleep(wait_s)
            names = journal.names(RECORDS, until - timedelta(seconds=grace_s + _CLOCK_SKEW_S))
            if _erase_in_journal(person, journal, names, position, records, result, remaining_s):
                result.cursor = None
    return result


def erase_in_postgres(
    person: Person,
    until: datetime,
    ids: Sequence[str],
    records: PersonalRecords,
    result: Erased,
) -> None:
    """Erase the evidence of a person, and the registered punches with these ids, in Postgres."""
    changed, logs = records.erase_evidence(person.employer, person.employee, until)
    result.records += changed
    result.logs += logs
    result.quarantine += records.edit_quarantine(
        person.employee, lambda item: quarantined_without_evidence(item, person)
    )
    for chunk in _chunks(ids):
        result.punches += records.erase_punches(chunk)


def _erase_in_buffer(person: Person, buffer: BufferedItems) -> int:
    """Replace the person's items by others without evidence; return how many."""
    replaced = 0
    for page in buffer.pages(0, 1, 1_000, consistent=True):
        for item in page:
            text = item.get("record", {}).get("S")
            record = decode(text)
            edited = without_evidence(record) if person.owns(record) else None
            if edited is not None:
                replaced += buffer.replace(item, edited)
    return replaced


def _erase_in_journal(
    person: Person,
    journal: Journal,
    names: Iterator[str],
    position: str,
    records: PersonalRecords,
    result: Erased,
    remaining_s: Callable[[], float],
) -> bool:
    """Rewrite files that have something of a person; return whether the time sufficed for all.

    The cursor of ``result`` is then the last of them, or ``position`` if there was none.
    """

    def read(name: str) -> list[str] | None:
        try:
            return journal.read(name)
        except DamagedFileError:
            return None

    result.cursor = result.cursor or position
    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        while batch := list(islice(names, 4 * _PARALLEL_READS)):
            if remaining_s() <= _MARGIN_S:
                return False
            for name, lines in zip(batch, pool.map(read, batch), strict=True):
                if lines is None:
                    if name not in result.damaged:  # recent files are read twice
                        result.damaged.append(name)
                elif (edited := _edited(lines, person, records)) is not None:
                    journal.replace(name, edited)
                    result.journal_files += 1
                result.cursor = name
    return True


def _edited(lines: Sequence[str], person: Person, records: PersonalRecords) -> list[str] | None:
    """Return the lines of a file without what is erased; None if it has nothing of the person."""
    number = str(person.employee)
    edited: list[str] = []
    ids: set[str] = set()
    for line in lines:
        record = decode(line) if number in line else None
        if isinstance(record, dict) and QUARANTINED in record:
            item = record[QUARANTINED]
            text = quarantined_without_evidence(item["item"], person)
            edited.append(
                line if text is None else json.dumps({QUARANTINED: {**item, "item": text}})
            )
        elif isinstance(record, dict) and person.owns(record):
            with suppress(ValueError):  # a line that is not a record may lack an id
                ids.add(str(UUID(str(record.get("id")))))
            edited.append(without_evidence(record) or line)
        else:
            edited.append(line)
    if ids and (erased := records.erased(ids)):
        edited = [each for each in edited if (decode(each) or {}).get("id") not in erased]
    return None if edited == list(lines) else edited


def _chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    """Return the ids in chunks of bounded size."""
    return [
        ids[first : first + _MAX_IDS_PER_LINE] for first in range(0, len(ids), _MAX_IDS_PER_LINE)
    ]
