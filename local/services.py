"""Start the Python processes of the stack: the simulated legacy, the API and the schedulers.

Like a Lambda function, each process has its own clients and connections, and finds the others only
through its environment.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from local.child_process import ChildProcess, ServerProcess
from local.loopback import HOST

# The schedules of a stack, with the seconds between two runs; None: the tick of the stack. Of the
# app's other schedules, ``observe`` makes metrics for CloudWatch, and ``store-keys`` has nothing to
# do: the stack has a key of its own.
SCHEDULES: dict[str, float | None] = {"replicate": None, "integrate": None, "reconcile": 3_600.0}


def start_legacy(home: Path, port: int = 0, *, keep: bool = True) -> tuple[ChildProcess, str]:
    """Start the simulated legacy, wait until it is ready, and return it with its URL.

    See ``launch_legacy``.

    Raises:
        StartError: the process did not start.
    """
    server = launch_legacy(home, port, keep=keep).wait_ready()
    return server.child, server.url


def launch_legacy(home: Path, port: int = 0, *, keep: bool = True) -> ServerProcess:
    """Start the simulated legacy on ``port`` (0: any free one).

    With ``keep``, the accepted records are stored in ``home/legacy.journal``.
    """
    journal: list[str | Path] = ["--journal", home.resolve() / "legacy.journal"] if keep else []

    def make(chosen: int) -> ChildProcess:
        arguments = ["--host", HOST, "--port", str(chosen), *journal]
        return ChildProcess("legacy", _python("local.legacy", *arguments), home=home)

    return ServerProcess(port, make)


def start_api(
    home: Path, port: int, environment: Mapping[str, str], workers: int = 1
) -> tuple[ChildProcess, str]:
    """Start the API, wait until it is ready, and return it with its URL. See ``launch_api``.

    Raises:
        StartError: the process did not start.
    """
    server = launch_api(home, port, environment, workers).wait_ready()
    return server.child, server.url


def launch_api(
    home: Path, port: int, environment: Mapping[str, str], workers: int = 1
) -> ServerProcess:
    """Start the app's routes on ``port`` (0: any free one), served by this many processes.

    They connect to no store yet.
    """

    def make(chosen: int) -> ChildProcess:
        command = _python("local.api", "--port", str(chosen), "--workers", str(workers))
        return ChildProcess("api", command, home=home, environment=environment)

    return ServerProcess(port, make)


def start_scheduler(
    home: Path, schedule: str, every_s: float, environment: Mapping[str, str]
) -> ChildProcess:
    """Start the process that runs a schedule every ``every_s`` seconds."""
    command = _python("local.scheduler", schedule, "--every", str(every_s))
    child = ChildProcess(
        schedule, command, home=home, environment=environment, is_ready=lambda: True
    )
    child.start()
    return child


def _python(module: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", module, *arguments]
