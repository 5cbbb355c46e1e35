"""Children are started, watched, stopped and, when their parent was killed, found again."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.process import HOST, Child, StartError, end_leftovers, free_port, start_on_port
from tests.support.running_stack import alive
from tests.support.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def _note(home: Path, pid: int, created: float) -> Path:
    note = home / "run" / "orphan.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"pid": pid, "created": created, "stop_signal": 15}))
    return note


def test_what_a_killed_parent_left_over_is_ended(
    tmp_path: Path, orphan: subprocess.Popen[bytes]
) -> None:
    note = _note(tmp_path, orphan.pid, psutil.Process(orphan.pid).create_time())
    assert end_leftovers(tmp_path) == ["orphan"]
    wait_until(lambda: orphan.poll() is not None)
    assert not note.exists()


def test_another_process_that_got_the_same_id_is_left_alone(
    tmp_path: Path, orphan: subprocess.Popen[bytes]
) -> None:
    note = _note(tmp_path, orphan.pid, psutil.Process(orphan.pid).create_time() - 60)
    assert end_leftovers(tmp_path) == []
    assert orphan.poll() is None
    assert not note.exists()


def test_half_a_note_is_no_hindrance(tmp_path: Path) -> None:
    note = _note(tmp_path, 1, 0)
    note.write_text('{"pid": ')
    assert end_leftovers(tmp_path) == []
    assert not note.exists()


def test_a_child_that_fails_to_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('there is no disk left')"]
    child = Child("engine", command, home=tmp_path)
    child.start()
    with pytest.raises(StartError, match=r"engine ended while it started(.|\n)*no disk left"):
        child.wait_ready()
    child.stop()


def test_a_child_that_is_never_ready_is_not_waited_for_long(tmp_path: Path) -> None:
    child = Child("engine", SLEEP, home=tmp_path)
    child.start()
    with pytest.raises(StartError, match=r"engine is not ready in 0\.2 s"):
        child.wait_ready(timeout_s=0.2)
    child.stop()


def test_a_child_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    program = (
        "import signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"subprocess.Popen({SLEEP!r});"
        'print(\'{"url": "none"}\', flush=True); time.sleep(60)'
    )
    child = Child("stubborn", [sys.executable, "-c", program], home=tmp_path)
    child.start()
    child.wait_ready()
    processes = [psutil.Process(child.pid), *psutil.Process(child.pid).children()]
    assert len(processes) == 2
    child.stop(timeout_s=0.1)
    wait_until(lambda: not alive(processes))


def test_a_port_that_was_taken_meanwhile_is_not_the_last_word(tmp_path: Path) -> None:
    taken = free_port()
    tried: list[int] = []
    serve = 'import socket, sys, time; s = socket.create_server(("{}", {})); {}; time.sleep(60)'

    def make(port: int) -> Child:
        tried.append(port)
        port = port if len(tried) > 1 else taken
        announce = "print('{\"url\": 1}', flush=True)"
        command = [sys.executable, "-c", serve.format(HOST, port, announce)]
        return Child("server", command, home=tmp_path)

    with socket.create_server((HOST, taken)):
        child, port = start_on_port(0, make)
        child.stop()
    assert [port] == tried[1:]
