"""The processes of the stack: started, watched until ready, stopped in good order or by force.

Promises that a child never outlives its parent on Linux (see ``local.child_process``), and that
elsewhere ``end_leftovers`` finds those that did. Each child leads a process group of its own, so
that Ctrl-C at the terminal reaches the parent alone, which then stops them in the right order.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

_LAUNCH = Path(__file__).with_name("child_process.py")
_POLL_S = 0.02
_LONGEST_LOG = 10_000_000

# Below the ranges that Linux (32768…) and macOS (49152…) take for outgoing connections, so that a
# child that is started again never finds somebody's connection on its port.
_PORTS = range(20_000, 32_000)


class StartError(Exception):
    """Something could not be started. The message says what, why, and where to read more."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the system."""

    uid: int
    gid: int


class Child:
    """One process of the stack.

    Args:
        name: what people call it.
        command: the program's path and its arguments.
        home: the stack's directory: ``log/<name>.log`` gets the output, ``run/<name>.json`` tells
            the next ``up`` which process this is.
        environment: added to our own.
        stdin: what it can read there.
        is_ready: says whether it serves; without one, it is ready once it has printed its
            ``{"url": …}``.
        account: run as this user instead of ours; we must be root.
        stop_signal: asks it to end in good order.
        death_signal: ends it when we die (Linux).
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
        self._note = home / "run" / f"{name}.json"
        self._command = [str(part) for part in command]
        self._environment = environment or {}
        self._stdin = stdin
        self._is_ready = is_ready or self._has_announced
        self._account = account
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        if self._process is None:
            raise StartError(f"{self.name} was not started.")
        return self._process.pid

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting for it to be ready.

        It belongs to the calling thread: when that thread ends, Linux ends the process.
        """
        user = (self._account.uid, self._account.gid) if self._account else ("-", "-")
        launch = [sys.executable, "-IS", _LAUNCH, os.getpid(), int(self._death_signal), *user, "--"]
        for directory in (self.log.parent, self._note.parent):
            directory.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LONGEST_LOG:
            self.log.replace(self.log.with_suffix(".old"))
        with self.log.open("ab") as log, tempfile.TemporaryFile() as stdin:
            stdin.write(self._stdin)
            stdin.seek(0)
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*map(str, launch), *self._command],
                cwd=PROJECT,
                env=os.environ | self._environment,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with suppress(psutil.NoSuchProcess):
            created = psutil.Process(self.pid).create_time()
            note = {"pid": self.pid, "created": created, "stop_signal": int(self._stop_signal)}
            self._note.write_text(json.dumps(note))
        return self._process

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self) -> str:
        """Say how the process ended."""
        code = self._process.poll() if self._process else None
        if code is None:
            return "it has not"
        return f"exit status {code}" if code >= 0 else signal.Signals(-code).name

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Wait until the process is ready.

        Raises:
            StartError: it ended before that, or took too long.
        """
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if not self.is_running():
                raise StartError(f"{self.name} ended while it started. {self._last_words()}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{self.name} is not ready in {timeout_s:g} s. {self._last_words()}"
                )
            time.sleep(_POLL_S)

    def run(self, timeout_s: float) -> None:
        """Start the process and wait for its good end.

        Raises:
            StartError: it failed, or took too long.
        """
        process = self.start()
        try:
            if process.wait(timeout_s) != 0:
                raise StartError(f"{self.name} failed. {self._last_words()}")
        except subprocess.TimeoutExpired as error:
            message = f"{self.name} did not end in {timeout_s:g} s. {self._last_words()}"
            raise StartError(message) from error
        finally:
            self.stop(timeout_s=1)

    def stop(self, timeout_s: float = 10) -> bool:
        """Ask the process to end, end what is left of its group, and say whether it did in time."""
        if self._process is None:
            return True
        self._process.send_signal(self._stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        in_time = not self.is_running()
        _kill_group(self._process.pid)
        self._process.wait()
        self._note.unlink(missing_ok=True)
        return in_time

    def _has_announced(self) -> bool:
        return any(line.startswith('{"url"') for line in self._output().splitlines())

    def _output(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _last_words(self) -> str:
        lines = self._output().strip().splitlines()[-10:]
        return "\n  ".join([f"The end of {self.log}:", *lines])


def start_on_port(port: int, make: Callable[[int], Child]) -> tuple[Child, int]:
    """Start what ``make`` builds for ``port``, or for any free one where it is 0; wait until ready.

    Raises:
        StartError: it did not start; nothing is left of it.
    """
    tries = 3  # a port that was free may be taken by the time it is bound
    while True:
        tries -= 1
        chosen = port or free_port()
        child = make(chosen)
        try:
            child.start()
            child.wait_ready()
        except StartError:
            child.stop()
            if port or not tries:
                raise
        except BaseException:
            child.stop()
            raise
        else:
            return child, chosen


def pass_by_proxies() -> None:
    """Let this process and its children reach the loopback interface directly, proxies or not."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST, "localhost")))


def free_port() -> int:
    """Find a port of the loopback interface that nobody listens on."""
    for port in random.sample(_PORTS, len(_PORTS)):
        if is_free(port):
            return port
    raise StartError(f"No port from {_PORTS.start} to {_PORTS.stop - 1} is free.")


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback interface now."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def end_leftovers(home: Path) -> list[str]:
    """End the children of a parent that was killed, and return their names.

    The caller holds the stack's lock, so whatever ``home/run`` tells of has no parent any more.
    """
    ended = []
    for note in sorted((home / "run").glob("*.json")):
        with suppress(psutil.NoSuchProcess, ValueError):  # ValueError: half written when killed
            told = json.loads(note.read_text())
            process = psutil.Process(told["pid"])
            if abs(process.create_time() - told["created"]) < 1:
                process.send_signal(told["stop_signal"])
                with suppress(psutil.TimeoutExpired):
                    process.wait(5)
                _kill_group(process.pid)
                ended.append(note.stem)
        note.unlink()
    return ended


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS forbids it for an empty group
        os.killpg(leader, signal.SIGKILL)
