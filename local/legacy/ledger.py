"""Count the calls to the simulated legacy, and keep the records that it accepted.

Invariants:

- A record counts as accepted once for each Idempotency-Key.
- With a journal, a killed process loses no acknowledged record: the journal is written before the
  response is sent. (It is not synced to the disk, since a power cut is not simulated.)
"""

import errno
import os
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

from chalicelib.instant import to_text

_RATE_WINDOW_S = 10.0
_CHUNK = 10_000


@dataclass(slots=True)
class _Counts:
    calls: int = 0
    duplicates: int = 0
    most_in_flight: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    first_accepted_at: datetime | None = None
    last_accepted_at: datetime | None = None
    recent: deque[float] = field(default_factory=deque)


class Ledger:
    """The counts of calls, and the accepted records by idempotency key.

    Args:
        journal: file of the accepted records, which is read now and appended to; None: no file.
    """

    def __init__(self, journal: Path | None) -> None:
        self._journal = journal.open("a+b", buffering=0) if journal else None
        self._accepted = self._read_journal()
        self._in_flight = 0
        self._counts = _Counts()

    def begin(self) -> None:
        """Count a call that has arrived."""
        counts = self._counts
        counts.calls += 1
        self._in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, self._in_flight)

    def end(self, outcome: str) -> None:
        """Count a call that has ended, by its status, or by a word if it got no response."""
        self._in_flight -= 1
        self._counts.by_status[outcome] += 1

    def accept(self, key: str, record_id: str) -> None:
        """Accept the record; if its key was accepted before, count a duplicate instead."""
        counts = self._counts
        if key in self._accepted:
            counts.duplicates += 1
            return
        if self._journal:
            _append(self._journal, f"{key} {record_id}\n".encode())
        self._accepted[key] = record_id
        counts.last_accepted_at = datetime.now(UTC)
        counts.first_accepted_at = counts.first_accepted_at or counts.last_accepted_at
        now = monotonic()
        counts.recent.append(now)
        while counts.recent[0] < now - _RATE_WINDOW_S:
            counts.recent.popleft()

    def report(self) -> dict[str, Any]:
        """Return all counts. ``accepted`` includes the journal; the others are since the start."""
        counts = self._counts
        since = monotonic() - _RATE_WINDOW_S
        return {
            "calls": counts.calls,
            "accepted": len(self._accepted),
            "duplicates": counts.duplicates,
            "in_flight": self._in_flight,
            "most_in_flight": counts.most_in_flight,
            "by_status": dict(sorted(counts.by_status.items())),
            "first_accepted_at": counts.first_accepted_at and to_text(counts.first_accepted_at),
            "last_accepted_at": counts.last_accepted_at and to_text(counts.last_accepted_at),
            "accepted_per_s": sum(at >= since for at in counts.recent) / _RATE_WINDOW_S,
        }

    def accepted_ids(self) -> Iterator[str]:
        """Yield the ids of the accepted records, one per line, in chunks of thousands of lines.

        The id of a record that was accepted under two keys appears twice.
        """
        ids = iter(list(self._accepted.values()))
        while chunk := list(islice(ids, _CHUNK)):
            yield "\n".join(chunk) + "\n"

    def reset(self) -> None:
        """Forget everything except the calls in flight, which are counted when they end."""
        self._accepted.clear()
        if self._journal:
            self._journal.truncate(0)
        self._counts = _Counts(calls=self._in_flight, most_in_flight=self._in_flight)

    def _read_journal(self) -> dict[str, str]:
        if self._journal is None:
            return {}
        self._journal.seek(0)
        text = self._journal.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._journal.truncate(len(complete))  # an incomplete line was never acknowledged
        return dict(line.split(" ") for line in complete.decode().splitlines())


def _append(journal: FileIO, line: bytes) -> None:
    """Write a whole line.

    Raises:
        OSError: the disk is full. What it took of the line is removed again.
    """
    end = journal.seek(0, os.SEEK_END)
    try:
        if journal.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        journal.truncate(end)
        raise
