"""Run a schedule periodically: ``python -m local.scheduler replicate --every 5``.

It replaces EventBridge and the schedule's Lambda function. Runs never overlap: a tick during a run
is skipped, since a run continues until no work is left. On SIGTERM the scheduler moves the deadline
of the current run close to now and ends after that run.
"""

import argparse
import contextlib
import os
import signal
import time
from pathlib import Path
from types import FrameType

from chalicelib import telemetry
from chalicelib.errors import PunchClockError
from local.lambda_context import LambdaContext, invoke
from local.services import SCHEDULES

# The longest timeout of a Lambda function.
_RUN_TIMEOUT_S = 900
# This close to its deadline the integrator starts no call and settles those it has sent.
_SHUTDOWN_S = 16
_POLL_S = 0.05
# While the cores are busy, the integrator gets a third of the CPU of any other process.
_NICE = 5


class Scheduler:
    """Runs one schedule until it receives a signal."""

    def __init__(self, schedule: str, every_s: float) -> None:
        self._schedule = schedule
        self._every_s = every_s
        self._context = self._new_context()
        self._is_ending = False

    def end(self, signal_number: int, frame: FrameType | None) -> None:
        """Handle a signal: shorten the current run and start no other."""
        del signal_number, frame
        self._is_ending = True
        self._context.shorten(_SHUTDOWN_S)

    def run(self) -> None:
        """Run the schedule at each tick until a signal arrives."""
        due = time.monotonic()
        while not self._is_ending:
            if time.monotonic() < due:
                time.sleep(_POLL_S)
                continue
            due = time.monotonic() + self._every_s
            self._context = self._new_context()
            if self._is_ending:  # the signal came before the new context: it is not shortened
                break
            try:
                invoke(self._schedule, self._context)
            except PunchClockError:  # the app has logged it
                continue
            except Exception as error:  # noqa: BLE001 - a failed run fails alone, as on Lambda
                telemetry.error("a run failed", error, schedule=self._schedule)

    def _new_context(self) -> LambdaContext:
        return LambdaContext(self._schedule, _RUN_TIMEOUT_S)


def yield_cpu() -> None:
    """Let other processes go first: accepting and replicating punches before delivering them.

    On AWS each Lambda function has a CPU of its own.
    """
    os.nice(_NICE)
    # Linux may divide the CPU between sessions first, and each process of a stack has its own.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE))


def main() -> None:
    """Parse the command line and run the schedule until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.scheduler", description=__doc__)
    parser.add_argument("schedule", choices=SCHEDULES)
    parser.add_argument("--every", type=float, default=5, metavar="SECONDS")
    arguments = parser.parse_args()
    if arguments.schedule == "integrate":
        yield_cpu()
    scheduler = Scheduler(arguments.schedule, arguments.every)
    signal.signal(signal.SIGTERM, scheduler.end)
    scheduler.run()


if __name__ == "__main__":
    main()
