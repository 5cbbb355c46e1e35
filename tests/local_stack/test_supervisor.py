"""The supervisor outlives a full disk, says so, and restarts what died once there is space."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from local.legacy.ledger import Ledger
from local.supervisor import Supervisor

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """A disk that may be full, and the process, the file and the output that need its space."""

    log = Path("endpoint.log")

    def __init__(self) -> None:
        self.free = 10**9
        self.now = 0.0
        self.running = True
        self.recorded = True
        self.written = 0
        self.starts = 0
        self.lines: list[str] = []
        self.supervisor = Supervisor(
            Path("home"),
            {"endpoint": self},
            self.write,
            self.note,
            clock=lambda: self.now,
            free_bytes=lambda _: self.free,
        )

    def need_space(self) -> None:
        if self.free == 0:
            raise FULL

    def is_running(self) -> bool:
        return self.running

    def exit_reason(self) -> str:
        return "exit status 1"

    def start(self) -> None:
        self.starts += 1
        self.need_space()
        self.running, self.recorded = True, False
        self.record()

    def record(self) -> None:
        if not self.recorded:
            self.need_space()
            self.recorded = True

    def write(self) -> None:
        self.need_space()
        self.written += 1

    def note(self, line: str) -> None:
        self.lines.append(line)

    def pass_time(self, seconds: int) -> None:
        for _ in range(10 * seconds):
            self.now += 0.1
            self.supervisor.step()


def test_process_that_dies_on_a_full_disk_is_restarted_once_there_is_space() -> None:
    disk = Disk()
    disk.pass_time(20)
    disk.free, disk.running = 0, False
    disk.pass_time(60)
    assert not disk.running
    assert 10 < disk.starts < 30  # with a growing delay
    assert [line.partition(":")[0] for line in disk.lines] == [
        "The disk of home is full",
        "endpoint died (exit status 1) and is restarted. Its log",
        "endpoint cannot be restarted",
        "stack.json cannot be written",
    ]
    disk.free = 10**9
    disk.pass_time(6)
    assert disk.running
    assert disk.written
    assert disk.lines[4:] == ["The disk of home has space again: 954 MB."]
    disk.pass_time(60)
    assert (len(disk.lines), disk.written <= 2) == (5, True)


def test_process_that_runs_but_cannot_be_recorded_is_recorded_later() -> None:
    disk = Disk()
    disk.recorded, disk.free = False, 0
    disk.pass_time(2)
    disk.free = 10**9
    disk.pass_time(1)
    assert disk.recorded
    assert disk.starts == 0


def test_output_on_the_full_disk_ends_nothing() -> None:
    disk = Disk()

    def refuse(_: str) -> None:
        raise FULL

    supervisor = Supervisor(Path("home"), {"endpoint": disk}, disk.write, refuse)
    disk.running = False
    supervisor.step()
    assert disk.running


def test_crash_loop_is_slowed_down() -> None:
    disk = Disk()
    for _ in range(600):
        disk.running = False
        disk.pass_time(1)
    assert disk.starts < 130


class FullFile:
    """A journal on a full disk, which takes a part of a line."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.room = 10**6

    def write(self, line: bytes) -> int:
        taken: int = self._file.write(line[: self.room])
        self.room -= taken
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_journal_of_the_legacy_has_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    ledger: Any = Ledger(path)
    ledger._journal = journal = FullFile(ledger._journal)
    ledger.accept("a", "1")
    journal.room = 2
    with pytest.raises(OSError, match="space"):
        ledger.accept("b", "2")
    journal.room = 100
    ledger.accept("c", "3")
    journal.close()
    assert path.read_text() == "a 1\nc 3\n"
