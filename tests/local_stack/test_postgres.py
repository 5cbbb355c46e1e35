"""PostgreSQL starts again after a kill or a power cut, and never twice on one directory."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import postgres
from local.child_process import Account, StartError
from tests.support.waiting import wait_until


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The ``postmaster.pid`` of a server on ``tmp_path`` that was killed."""
    server = postgres.start(tmp_path, settings=postgres.FAST)
    os.kill(server.server.child.pid, signal.SIGKILL)
    wait_until(lambda: not server.child.is_running())
    return tmp_path / "postgres" / "postmaster.pid"


@pytest.fixture
def other() -> Iterator[int]:
    """The id of another process of PostgreSQL's account."""
    account = postgres._account() or Account(os.geteuid(), os.getegid())
    process = subprocess.Popen(["sleep", "60"], user=account.uid)
    yield process.pid
    process.kill()
    process.wait()


def test_server_starts_though_its_last_id_belongs_to_another_process(
    killed: Path, other: int, tmp_path: Path
) -> None:
    _, rest = killed.read_text().split("\n", 1)
    killed.write_text(f"{other}\n{rest}")
    postgres.start(tmp_path, settings=postgres.FAST).child.stop()


def test_server_starts_though_a_power_cut_has_emptied_the_file_of_its_id(
    killed: Path, tmp_path: Path
) -> None:
    killed.write_text("")
    postgres.start(tmp_path, settings=postgres.FAST).child.stop()


def test_second_server_on_a_directory_is_refused(tmp_path: Path) -> None:
    first = postgres.start(tmp_path, settings=postgres.FAST)
    try:
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        before = pid_file.read_text()
        with pytest.raises(StartError, match="already exists"):
            postgres.start(tmp_path, settings=postgres.FAST)
        assert pid_file.read_text() == before
    finally:
        first.child.stop()
