"""Run ``python -m local up`` in a process, as a user does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import requests

from chalicelib.principal import Role
from local.tokens import make_token, read_key
from tests.support.waiting import wait_until

PUNCH = {"employeeId": 7, "employerId": 1, "includedAt": "2024-05-06T08:00:00-03:00"}


class RunningStack:
    """A stack on the directory ``data`` that has printed ``until``, by default its last line.

    ``under`` is a command that runs it, such as ``nohup``.
    """

    def __init__(
        self,
        data: Path,
        *arguments: str,
        until: str = "Ctrl-C",
        environment: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
    ) -> None:
        self.data = data
        self._output = data.with_suffix(".out").open("w+b")
        self._process = subprocess.Popen(
            [*under, sys.executable, "-m", "local", "up", "--data", data, *arguments],
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            # The tests may run under nohup.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        try:
            wait_until(lambda: until in self.output() or self._process.poll() is not None, 90)
            assert self._process.poll() is None, self.output()
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def output(self) -> str:
        return Path(self._output.name).read_text()

    def described(self) -> dict[str, Any]:
        return json.loads((self.data / "stack.json").read_text())

    def url(self, name: str, path: str = "") -> str:
        return self.described()[name] + path

    @property
    def operator(self) -> dict[str, str]:
        """The Authorization header of an operator."""
        return {"Authorization": f"Bearer {make_token(read_key(self.data), Role.INTEGRATION)}"}

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the stack, with all descendants."""
        supervisor = psutil.Process(self._process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def end(self, signal_number: int) -> int:
        """Send the signal and return the exit status."""
        self._process.send_signal(signal_number)
        try:
            return self._process.wait(60)
        finally:
            self._output.close()

    def post(self, **changes: object) -> requests.Response:
        return requests.post(
            self.url("api", "/point-record"),
            json=PUNCH | changes,
            headers=self.operator,
            timeout=10,
        )

    def at_legacy(self) -> list[str]:
        """Return the ids of the records that the legacy has accepted."""
        return requests.get(self.url("legacy", "/report/keys"), timeout=10).text.split()

    def get(self, record_id: str) -> requests.Response:
        return requests.get(
            self.url("api", f"/point-record/{record_id}"), headers=self.operator, timeout=10
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``python -m local`` on this stack."""
        return local(*arguments, "--data", str(self.data))


def local(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ``python -m local`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run. A zombie does not run."""
    running = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
        except psutil.NoSuchProcess:
            continue
    return running
