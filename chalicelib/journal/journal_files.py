"""Write, list and read the files of the journal.

``KIND/YYYY/MM/DD/HH/YYYYMMDDTHHMMSS.ffffffZ-RANDOM.jsonl.gz``: the instant is that of the writing,
in UTC, and the random part is of the writer. The order of the names is therefore the order of time,
and no two writers choose one name. Invariant: a file is whole or does not exist.
"""

import gzip
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from chalicelib.errors import InvalidCursorError
from chalicelib.settings import SettingsError

ERASURES, RECORDS, DELIVERIES = "erasures", "records", "deliveries"
# The order in which a restore reads them.
KINDS = (ERASURES, RECORDS, DELIVERIES)
JOURNAL_BEGINS = datetime(2000, 1, 1, tzinfo=UTC)  # no file is older

_SUFFIX = ".jsonl.gz"
_MAX_CURSOR = 200  # two names


class DamagedFileError(Exception):
    """A file of the journal is not what was written. The message names it."""


class Files(Protocol):
    """Where the files are. Each method raises UnavailableError if it cannot do its work."""

    def put(self, name: str, content: bytes) -> None:
        """Store a file durably and whole, or not at all. Replaces a file of this name."""

    def get(self, name: str) -> bytes:
        """Return the content of a file."""

    def names(self, kind: str, after: str) -> Iterator[str]:
        """Yield the names of a kind that sort after ``after``, in their order."""


class Journal:
    """The files of the journal.

    Args:
        files: where they are.
        now: the present, for the names of new files.
    """

    def __init__(
        self, files: Files, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._files = files
        self._now = now

    def write(self, kind: str, lines: Sequence[str]) -> str:
        """Write one new file durably, and return its name.

        Raises:
            UnavailableError: it is unknown whether the file exists. To write again is safe.
        """
        name = f"{_prefix(kind, self._now())}-{uuid.uuid4().hex[:12]}{_SUFFIX}"
        self.replace(name, lines)
        return name

    def replace(self, name: str, lines: Sequence[str]) -> None:
        """Write all lines of a file. A reader sees the earlier lines or these.

        Raises:
            UnavailableError: the file may be as before. To replace it again is safe.
        """
        text = "".join(f"{line}\n" for line in lines)
        self._files.put(name, gzip.compress(text.encode("utf-8"), compresslevel=1, mtime=0))

    def names(self, kind: str, since: datetime, after: str = "") -> Iterator[str]:
        """Yield the names of the files of a kind written since an instant, the oldest first.

        Args:
            kind: one of ``KINDS``.
            since: by the clock of the writers.
            after: yield only names that sort after this one: where an earlier call ended.

        Raises:
            UnavailableError: the journal does not answer.
        """
        for name in self._files.names(kind, max(after, _prefix(kind, since))):
            if name.endswith(_SUFFIX):
                yield name

    def read(self, name: str) -> list[str]:
        """Return the lines of a file.

        Raises:
            DamagedFileError: the content is not what was written.
            UnavailableError: the journal does not answer.
        """
        content = self._files.get(name)
        if not content:  # which gzip takes for an empty file
            raise DamagedFileError(f"{name} is damaged: it is empty")
        try:
            text = gzip.decompress(content).decode("utf-8")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise DamagedFileError(f"{name} is damaged: {error}") from error
        return [line for line in text.split("\n") if line]


def connect(location: str, s3: Callable[[], Any]) -> Journal:
    """Open the journal at a location, in the format of the setting ``JOURNAL``.

    Args:
        location: ``s3:BUCKET`` or ``file:DIRECTORY``.
        s3: makes boto3's client of S3.

    Raises:
        SettingsError: the location has neither of the two formats.
    """
    scheme, _, place = location.partition(":")
    if scheme == "file" and place:
        from chalicelib.journal.journal_directory import DirectoryFiles  # noqa: PLC0415 - one is used

        return Journal(DirectoryFiles(place))
    if scheme == "s3" and place:
        from chalicelib.journal.journal_bucket import BucketFiles  # noqa: PLC0415 - one is used

        return Journal(BucketFiles(s3(), place))
    raise SettingsError("JOURNAL must be s3:BUCKET or file:DIRECTORY")


def read_cursor(cursor: object) -> str:
    """Return the cursor of a command that goes on after a file of the journal.

    Raises:
        InvalidCursorError: it cannot be one that an earlier call returned.
    """
    if not isinstance(cursor, str) or len(cursor) > _MAX_CURSOR or not cursor.isascii():
        raise InvalidCursorError
    return cursor


def _prefix(kind: str, instant: datetime) -> str:
    return f"{kind}/{instant.astimezone(UTC):%Y/%m/%d/%H/%Y%m%dT%H%M%S.%fZ}"
