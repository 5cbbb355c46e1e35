"""Children are started, stopped and, after their parent was killed, ended as orphans."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.child_process import ChildProcess, ServerProcess, StartError, end_orphans
from local.loopback import HOST, free_port
from tests.support.running_stack import alive
from tests.support.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def _write_pid_file(home: Path, pid: int, created: float) -> Path:
    pid_file = home / "run" / "orphan.json"
    pid_file.parent.mkdir()
    pid_file.write_text(json.dumps({"pid": pid, "created": created, "stop_signal": 15}))
    return pid_file


def test_orphan_is_ended(tmp_path: Path, orphan: subprocess.Popen[bytes]) -> None:
    pid_file = _write_pid_file(tmp_path, orphan.pid, psutil.Process(orphan.pid).create_time())
    assert end_orphans(tmp_path) == ["orphan"]
    wait_until(lambda: orphan.poll() is not None)
    assert not pid_file.exists()


def test_process_with_a_reused_id_is_left_alone(
    tmp_path: Path, orphan: subprocess.Popen[bytes]
) -> None:
    pid_file = _write_pid_file(tmp_path, orphan.pid, psutil.Process(orphan.pid).create_time() - 60)
    assert end_orphans(tmp_path) == []
    assert orphan.poll() is None
    assert not pid_file.exists()


def test_truncated_pid_file_is_removed(tmp_path: Path) -> None:
    pid_file = _write_pid_file(tmp_path, 1, 0)
    pid_file.write_text('{"pid": ')
    assert end_orphans(tmp_path) == []
    assert not pid_file.exists()


def test_child_that_fails_to_start_reports_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('there is no disk left')"]
    child = ChildProcess("engine", command, home=tmp_path)
    child.start()
    with pytest.raises(StartError, match=r"engine ended while it started(.|\n)*no disk left"):
        child.wait_ready()
    child.stop()


def test_child_that_is_never_ready_times_out(tmp_path: Path) -> None:
    child = ChildProcess("engine", SLEEP, home=tmp_path)
    child.start()
    with pytest.raises(StartError, match=r"engine was not ready within 0\.2 s"):
        child.wait_ready(timeout_s=0.2)
    child.stop()


def test_child_that_ignores_the_stop_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    program = (
        "import signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"subprocess.Popen({SLEEP!r});"
        'print(\'{"url": "none"}\', flush=True); time.sleep(60)'
    )
    child = ChildProcess("stubborn", [sys.executable, "-c", program], home=tmp_path)
    child.start()
    child.wait_ready()
    processes = [psutil.Process(child.pid), *psutil.Process(child.pid).children()]
    assert len(processes) == 2
    child.stop(timeout_s=0.1)
    wait_until(lambda: not alive(processes))


def test_server_takes_another_port_if_its_free_port_was_taken(tmp_path: Path) -> None:
    taken = free_port()
    tried: list[int] = []
    serve = 'import socket, sys, time; s = socket.create_server(("{}", {})); {}; time.sleep(60)'

    def make(port: int) -> ChildProcess:
        tried.append(port)
        port = port if len(tried) > 1 else taken
        announce = "print('{\"url\": 1}', flush=True)"
        command = [sys.executable, "-c", serve.format(HOST, port, announce)]
        return ChildProcess("server", command, home=tmp_path)

    with socket.create_server((HOST, taken)):
        server = ServerProcess(0, make).wait_ready()
        server.child.stop()
    assert [server.port] == tried[1:]
