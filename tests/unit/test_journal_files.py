"""The journal: names in the order of time, whole files, and lines that are read back."""

import gzip
import json
import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chalicelib.errors import UnavailableError
from chalicelib.journal.journal_directory import DirectoryFiles
from chalicelib.journal.journal_files import (
    DELIVERIES,
    RECORDS,
    DamagedFileError,
    Journal,
    connect,
)
from chalicelib.journal.journal_lines import (
    delivery_lines,
    page_lines,
    parse_deliveries,
    parse_records,
)
from chalicelib.journal.journal_writer import SweepJournal
from chalicelib.point_record import parse, to_json
from chalicelib.postgres.documents import Document, Poison
from chalicelib.settings import SettingsError
from tests.support.service import punch

START = datetime(2026, 11, 22, 23, 59, 59, 999_999, tzinfo=UTC)


class Ticking:
    """A clock that advances by a step each time it is read."""

    def __init__(self, step: timedelta) -> None:
        self._now, self._step = START - step, step

    def __call__(self) -> datetime:
        self._now += self._step
        return self._now


def document(employee: int, **fields: object) -> Document:
    record = parse(punch(employee, **fields), datetime.now(UTC), 60)
    return Document(str(record.id), json.dumps(to_json(record)))


def test_files_are_listed_in_the_order_of_their_writing(tmp_path: Path) -> None:
    journal = Journal(DirectoryFiles(str(tmp_path)), Ticking(timedelta(minutes=29)))
    names = [journal.write(RECORDS, [str(number)]) for number in range(200)]
    journal.write(DELIVERIES, ["another kind"])
    assert list(journal.names(RECORDS, START)) == names
    assert [journal.read(name) for name in names] == [[str(number)] for number in range(200)]


@pytest.mark.parametrize("first", [0, 1, 57, 199])
def test_files_are_listed_from_an_instant_and_from_a_name(tmp_path: Path, first: int) -> None:
    step = timedelta(minutes=29)
    journal = Journal(DirectoryFiles(str(tmp_path)), Ticking(step))
    names = [journal.write(RECORDS, ["x"]) for _ in range(200)]
    assert list(journal.names(RECORDS, START + first * step)) == names[first:]
    assert list(journal.names(RECORDS, START, after=names[first])) == names[first + 1 :]


def test_a_journal_without_files_has_no_names(tmp_path: Path) -> None:
    journal = Journal(DirectoryFiles(str(tmp_path / "absent")))
    assert list(journal.names(RECORDS, START)) == []


def test_two_files_of_one_instant_have_different_names(tmp_path: Path) -> None:
    journal = Journal(DirectoryFiles(str(tmp_path)), lambda: START)
    assert len({journal.write(RECORDS, ["x"]) for _ in range(10)}) == 10


def test_files_and_directories_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        journal = Journal(DirectoryFiles(str(tmp_path / "journal")))
        journal.write(RECORDS, ["x"])
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "journal").rglob("*")}
    assert modes == {0o700, 0o600}


def test_a_file_can_be_replaced(tmp_path: Path) -> None:
    journal = Journal(DirectoryFiles(str(tmp_path)))
    name = journal.write(RECORDS, ["a", "b"])
    journal.replace(name, ["b"])
    assert list(journal.names(RECORDS, datetime.now(UTC) - timedelta(minutes=1))) == [name]
    assert journal.read(name) == ["b"]


def test_unfinished_files_are_no_files_and_are_removed_after_an_hour(tmp_path: Path) -> None:
    journal = Journal(DirectoryFiles(str(tmp_path)))
    place = tmp_path / journal.write(RECORDS, ["x"])
    fresh, old = (place.with_name(f".{each}.unfinished") for each in ("fresh", "old"))
    for each in (fresh, old):
        each.write_bytes(b"half")
    hours_ago = time.time() - 7_200
    os.utime(old, (hours_ago, hours_ago))
    assert len(list(journal.names(RECORDS, datetime.now(UTC) - timedelta(minutes=1)))) == 1
    assert fresh.exists()
    assert not old.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"cut off")[:-9], gzip.compress(b"\xff\xfe")],
    ids=["empty", "foreign", "cut", "no UTF-8"],
)
def test_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    journal = Journal(DirectoryFiles(str(tmp_path)))
    name = journal.write(RECORDS, ["x"])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedFileError, match=name):
        journal.read(name)


def test_a_directory_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    journal = Journal(DirectoryFiles(str(place)))
    with pytest.raises(UnavailableError, match="JOURNAL"):
        journal.write(RECORDS, ["x"])
    with pytest.raises(UnavailableError, match="JOURNAL"):
        list(journal.names(RECORDS, START))


@pytest.mark.parametrize("location", ["ftp:x", "s3:", "file:", "", "x"])
def test_location_of_another_form_is_refused(location: str) -> None:
    with pytest.raises(SettingsError, match="s3:BUCKET or file:DIRECTORY"):
        connect(location, lambda: None)


def test_lines_of_a_page_are_read_back() -> None:
    spread = Document(document(2).id, document(2).text.replace(",", ",\n"))
    odd = document(3, deviceId="a\u2028b\x85c\r\nd")
    raw = Document(odd.id, json.dumps(json.loads(odd.text), ensure_ascii=False))
    poison = Poison("\ud800 key", '{"id": {"S": "\\ud800"}}', "no record\nat all")
    lines = page_lines([document(1), spread, raw], [poison])
    text = "\n".join(lines).encode().decode()
    parsed = parse_records(text.split("\n"))
    assert [each.id for each in parsed.documents] == [document(1).id, spread.id, odd.id]
    assert json.loads(parsed.documents[1].text) == json.loads(spread.text)
    assert parsed.poison == [poison]
    assert parsed.faults == 0


def test_line_of_a_further_post_is_told_from_that_of_a_record() -> None:
    record, other = document(1), document(2)
    post = Document(other.id, other.text, f"{other.id}/employee/0")
    parsed = parse_records(page_lines([record, post], []))
    assert parsed.documents == [record]
    assert [(each.id, each.key) for each in parsed.posts] == [(post.id, post.key)]
    assert json.loads(parsed.posts[0].text) == json.loads(post.text)
    # An earlier release wrote the line of a record.
    assert parse_records([other.text]).documents == [other]


def test_lines_that_are_no_records_are_counted() -> None:
    other = json.loads(document(1).text) | {"employeeId": 2}
    faulty = ["", "x", "1", "[]", "{}", '{"quarantined": 1}', json.dumps(other), "[" * 100_000]
    parsed = parse_records([document(1).text, *faulty])
    assert (len(parsed.documents), parsed.faults) == (1, len(faulty))


def test_lines_of_deliveries_are_read_back_and_others_are_counted() -> None:
    lines = delivery_lines([(document(1).id, START)])
    faulty = ["", "1", "[]", "{}", '{"id": 1, "integratedAt": 2}', lines[0].replace("2026", "26")]
    deliveries, faults = parse_deliveries([*lines, *faulty])
    read = [{"id": document(1).id, "integrated_at": "2026-11-22T23:59:59.999999Z"}]
    assert (deliveries, faults) == (read, len(faulty))


class Failing:
    """Files that cannot be written, and how often it was tried."""

    def __init__(self, *, hangs_s: float = 0) -> None:
        self.tries, self._hangs_s = 0, hangs_s

    def put(self, name: str, content: bytes) -> None:
        del name, content
        self.tries += 1
        time.sleep(self._hangs_s)
        raise UnavailableError("The journal is unavailable.")

    def get(self, name: str) -> bytes:
        raise NotImplementedError(name)

    def names(self, kind: str, after: str) -> Iterator[str]:
        raise NotImplementedError(kind, after)


def test_pages_may_leave_at_once_without_a_journal() -> None:
    sweep = SweepJournal(None, 1)
    assert sweep.begin(["x"])()
    sweep.end()


@pytest.mark.parametrize("hangs_s", [0, 0.5])
def test_after_a_fault_no_further_page_waits_and_none_may_leave(hangs_s: float) -> None:
    files = Failing(hangs_s=hangs_s)
    sweep = SweepJournal(Journal(files), 0.05)
    first = sweep.begin(["x"])
    assert [first(), first()] == [False, False]
    assert not sweep.begin(["y"])()
    assert files.tries == 1
    with pytest.raises(UnavailableError, match=r"[Tt]he journal"):
        sweep.end()
