"""Start the stack's processes, wait until they are ready, and stop them gracefully or by force.

Invariant: on Linux a child never outlives its parent (see ``local.child_bootstrap``); elsewhere
``end_orphans`` ends the children of a parent that was killed. Each child leads its own process
group. Ctrl-C at the terminal therefore reaches the parent only, which stops its children in order.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from local.loopback import HOST, free_port

PROJECT = Path(__file__).resolve().parent.parent

_BOOTSTRAP = Path(__file__).with_name("child_bootstrap.py")
POLL_S = 0.02
_READY_TIMEOUT_S = 30.0
_MAX_LOG_BYTES = 10_000_000
# A free port may be taken by another process before the server binds it.
_PORT_ATTEMPTS = 3


class StartError(Exception):
    """A process could not be started. The message says which, why, and where its log is."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user account of the operating system."""

    uid: int
    gid: int


class ChildProcess:
    """One process of the stack.

    Args:
        name: its name in messages and file names.
        command: the program's path and its arguments.
        home: the stack's directory. ``log/<name>.log`` receives the output; ``run/<name>.json``
            identifies the process to the next ``up``.
        environment: variables to add to the parent's.
        stdin: the bytes of its standard input.
        is_ready: returns whether it serves. By default it is ready once it has printed its
            ``{"url": …}``.
        account: the user to run as; requires root. By default the parent's user.
        stop_signal: the signal that asks it to shut down gracefully.
        death_signal: the signal that ends it when its parent dies (Linux).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        home: Path,
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        is_ready: Callable[[], bool] | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log = home / "log" / f"{name}.log"
        self._pid_file = home / "run" / f"{name}.json"
        self._command = [str(part) for part in command]
        self._environment = environment or {}
        self._stdin = stdin
        self._is_ready = is_ready or self._has_printed_url
        self._account = account
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._is_recorded = False
        self._log_start = 0
        self._started_at = 0.0

    @property
    def pid(self) -> int:
        if self._process is None:
            raise StartError(f"{self.name} was not started.")
        return self._process.pid

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting until it is ready.

        The process belongs to the calling thread: when that thread ends, Linux ends the process.

        Raises:
            OSError: the process cannot be started; or it runs and is not recorded (``record``).
        """
        user = (self._account.uid, self._account.gid) if self._account else ("-", "-")
        bootstrap = [sys.executable, "-IS", _BOOTSTRAP, os.getpid(), int(self._death_signal), *user]
        for directory in (self.log.parent, self._pid_file.parent):
            directory.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old"))
        with self.log.open("ab") as log, tempfile.TemporaryFile() as stdin:
            stdin.write(self._stdin)
            stdin.seek(0)
            self._log_start = log.tell()
            self._started_at = time.monotonic()
            self._process = subprocess.Popen(
                [*map(str, bootstrap), "--", *self._command],
                cwd=PROJECT,
                env=os.environ | self._environment,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._is_recorded = False
        self.record()
        return self._process

    def record(self) -> None:
        """Write the file that identifies the process to the next ``up``, unless it is written.

        Raises:
            OSError: the disk is full. The process runs; call this again.
        """
        if self._is_recorded:
            return
        with suppress(psutil.NoSuchProcess):
            created = psutil.Process(self.pid).create_time()
            identity = {"pid": self.pid, "created": created, "stop_signal": int(self._stop_signal)}
            self._pid_file.write_text(json.dumps(identity))
        self._is_recorded = True

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def exit_reason(self) -> str:
        """Return the exit status or the name of the signal that ended the process."""
        code = self._process.poll() if self._process else None
        if code is None:
            return "still running"
        return f"exit status {code}" if code >= 0 else signal.Signals(-code).name

    def poll_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> bool:
        """Return whether the process is ready.

        Raises:
            StartError: the process ended, or started more than ``timeout_s`` ago and is not ready.
        """
        if self._is_ready():
            return True
        if not self.is_running():
            raise StartError(f"{self.name} ended while it started. {self._log_tail()}")
        if time.monotonic() > self._started_at + timeout_s:
            raise StartError(
                f"{self.name} was not ready within {timeout_s:g} s. {self._log_tail()}"
            )
        return False

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the process is ready.

        Raises:
            StartError: see ``poll_ready``.
        """
        while not self.poll_ready(timeout_s):
            time.sleep(POLL_S)

    def wait_success(self, timeout_s: float) -> None:
        """Wait until the process has ended with exit status 0, and remove what it left running.

        Raises:
            StartError: the process failed, or the timeout passed.
        """
        try:
            if self._process is None or self._process.wait(timeout_s) != 0:
                raise StartError(f"{self.name} failed. {self._log_tail()}")
        except subprocess.TimeoutExpired as error:
            message = f"{self.name} did not end within {timeout_s:g} s. {self._log_tail()}"
            raise StartError(message) from error
        finally:
            self.stop(timeout_s=1)

    def run(self, timeout_s: float) -> None:
        """Start the process and wait until it has ended with exit status 0.

        Raises:
            StartError: the process failed, or the timeout passed.
        """
        self.start()
        self.wait_success(timeout_s)

    def stop(self, timeout_s: float = 10) -> bool:
        """Stop the process gracefully, kill the rest of its process group after the timeout.

        Returns:
            Whether the process ended within the timeout.
        """
        if self._process is None:
            return True
        self._process.send_signal(self._stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        in_time = not self.is_running()
        _kill_group(self._process.pid)
        self._process.wait()
        self._pid_file.unlink(missing_ok=True)
        return in_time

    def _has_printed_url(self) -> bool:
        return any(line.startswith('{"url"') for line in self._output().splitlines())

    def _output(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _log_tail(self) -> str:
        lines = self._output().strip().splitlines()[-10:]
        return "\n  ".join([f"Last lines of {self.log}:", *lines])


class ServerProcess:
    """A child that listens on a port. It starts at once, so that several can start concurrently.

    Args:
        port: the port to listen on; 0 takes any free one.
        make: builds the child for a port.
    """

    def __init__(self, port: int, make: Callable[[int], ChildProcess]) -> None:
        self._make = make
        self._attempts = 1 if port else _PORT_ATTEMPTS
        self._start_on(port or free_port())

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def poll_ready(self) -> bool:
        """Return whether the server is ready. If it failed on a free port, start it on another.

        Raises:
            StartError: the server did not start; none of its processes is left.
        """
        try:
            return self.child.poll_ready()
        except StartError:
            self.child.stop()
            self._attempts -= 1
            if not self._attempts:
                raise
        self._start_on(free_port())
        return False

    def wait_ready(self) -> Self:
        """Wait until the server is ready; stop it if the wait is interrupted.

        Raises:
            StartError: see ``poll_ready``.
        """
        try:
            while not self.poll_ready():
                time.sleep(POLL_S)
        except BaseException:
            self.child.stop()
            raise
        return self

    def _start_on(self, port: int) -> None:
        self.port = port
        self.child = self._make(port)
        self.child.start()


def end_orphans(home: Path) -> list[str]:
    """End the children of a parent that was killed, and return their names.

    The caller holds the stack's lock, so every process listed in ``home/run`` is an orphan.
    """
    ended = []
    for pid_file in sorted((home / "run").glob("*.json")):
        with suppress(psutil.NoSuchProcess, ValueError):  # ValueError: the file is truncated
            identity = json.loads(pid_file.read_text())
            process = psutil.Process(identity["pid"])
            # Otherwise the system has given the id to another process.
            if abs(process.create_time() - identity["created"]) < 1:
                process.send_signal(identity["stop_signal"])
                with suppress(psutil.TimeoutExpired):
                    process.wait(5)
                _kill_group(process.pid)
                ended.append(pid_file.stem)
        pid_file.unlink()
    return ended


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS forbids it for an empty group
        os.killpg(leader, signal.SIGKILL)
