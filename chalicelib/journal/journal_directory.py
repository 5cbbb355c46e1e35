"""Keep the files of the journal in a directory, on one machine.

A file is written beside its place, synced, renamed to its place, and the directory is synced. So a
process that is killed leaves the whole file or none, and a power failure takes no file back. Only
the owner may read what is written here.
"""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from chalicelib.errors import UnavailableError

_UNFINISHED = ".unfinished"
# An unfinished file that is older than this belongs to a process that was killed.
_ABANDONED_AFTER_S = 3_600


class DirectoryFiles:
    """Files below a directory, which is created on the first use."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def put(self, name: str, content: bytes) -> None:
        """Store a file; see ``Files.put``."""
        place = self._root / name
        unfinished = place.with_name(f".{place.name}.{uuid.uuid4().hex}{_UNFINISHED}")
        try:
            _make_directory(place.parent)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(place)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            _sync(place.parent)
        except OSError as error:
            raise _unavailable(error) from error

    def get(self, name: str) -> bytes:
        """Return a file; see ``Files.get``."""
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise _unavailable(error) from error

    def names(self, kind: str, after: str) -> Iterator[str]:
        """Yield names; see ``Files.names``. Also remove what killed processes left unfinished."""
        yield from self._names(kind, after)

    def _names(self, directory: str, after: str) -> Iterator[str]:
        """Yield the names below one directory that sort after ``after``, in their order."""
        path = self._root / directory
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unavailable(error) from error
        for entry in entries:
            name = f"{directory}/{entry.name}"
            if entry.is_dir():
                # Names below sort after ``after`` only if the directory is not wholly before it.
                if name >= after[: len(name)]:
                    yield from self._names(name, after)
            elif entry.name.endswith(_UNFINISHED):
                _remove_abandoned(Path(entry.path))
            elif name > after:
                yield name


def _make_directory(path: Path) -> None:
    """Create a directory and its parents, durably, for the owner only."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    try:
        if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # its writer has finished it
        return
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> UnavailableError:
    return UnavailableError(
        f"The journal is unavailable: {error.strerror}. Check the directory that JOURNAL names."
    )
