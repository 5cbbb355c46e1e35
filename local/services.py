"""The Python processes of the stack: the simulated legacy, the API, and a ticker for each schedule.

As each Lambda does, each keeps its own clients and connections and knows of the others by its
environment alone.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from local.process import HOST, Child, start_on_port

# The steps that run by schedule. The schedules that only look, observe and reconcile, do not here.
SCHEDULES = ("replicate", "integrate")


def start_legacy(home: Path, port: int = 0, *, keep: bool = True) -> tuple[Child, str]:
    """Start the simulated legacy on ``port`` (0: any free one) and return it with its URL.

    With ``keep``, what it has accepted is kept in ``home/legacy.journal``.

    Raises:
        StartError: with the reason.
    """
    journal: list[str | Path] = ["--journal", home.resolve() / "legacy.journal"] if keep else []

    def make(chosen: int) -> Child:
        arguments = ["--host", HOST, "--port", str(chosen), *journal]
        return Child("legacy", _python("local.legacy", *arguments), home=home)

    child, port = start_on_port(port, make)
    return child, f"http://{HOST}:{port}"


def start_api(home: Path, port: int, environment: Mapping[str, str]) -> tuple[Child, str]:
    """Start the app's routes on ``port`` (0: any free one) and return the process with its URL.

    Raises:
        StartError: with the reason.
    """

    def make(chosen: int) -> Child:
        command = _python("local.api", "--port", str(chosen))
        return Child("api", command, home=home, environment=environment)

    child, port = start_on_port(port, make)
    return child, f"http://{HOST}:{port}"


def start_ticker(
    home: Path, schedule: str, every_s: float, environment: Mapping[str, str]
) -> Child:
    """Start the process that runs a schedule every ``every_s`` seconds."""
    command = _python("local.scheduler", schedule, "--every", str(every_s))
    child = Child(schedule, command, home=home, environment=environment, is_ready=lambda: True)
    child.start()
    return child


def _python(module: str, *arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", module, *arguments]
