"""The process in place of a schedule's Lambda: ``python -m local.scheduler replicate --every 5``.

One run at a time; a tick that comes during a run is left out, as the run drains until nothing is
left. Told to end, it shortens the run at hand as if its deadline were near.
"""

import argparse
import signal
import time
from types import FrameType

from chalicelib import telemetry
from local.lambda_context import Context, invoke
from local.services import SCHEDULES

# Lambda's longest run.
_RUN_S = 900
# The integrator sends nothing new so near to its deadline, and settles what it has sent.
_LAST_S = 16
_NAP_S = 0.05


class Ticker:
    """Runs one schedule until told to end."""

    def __init__(self, schedule: str, every_s: float) -> None:
        self._schedule = schedule
        self._every_s = every_s
        self._context = self._new_context()
        self._is_ending = False

    def end(self, signal_number: int, frame: FrameType | None) -> None:
        """Handle the signal to end."""
        del signal_number, frame
        self._is_ending = True
        self._context.shorten(_LAST_S)

    def run(self) -> None:
        """Tick until told to end."""
        due = time.monotonic()
        while not self._is_ending:
            if time.monotonic() < due:
                time.sleep(_NAP_S)
                continue
            due = time.monotonic() + self._every_s
            self._context = self._new_context()
            if self._is_ending:  # told just now: the new context was not shortened
                break
            try:
                invoke(self._schedule, self._context)
            except Exception as error:  # noqa: BLE001 - a failed run fails alone, as on Lambda
                telemetry.error("a run failed", error, schedule=self._schedule)

    def _new_context(self) -> Context:
        return Context(self._schedule, _RUN_S)


def main() -> None:
    """Read the command line and tick until told to end."""
    parser = argparse.ArgumentParser(prog="python -m local.scheduler", description=__doc__)
    parser.add_argument("schedule", choices=SCHEDULES)
    parser.add_argument("--every", type=float, default=5, metavar="SECONDS")
    arguments = parser.parse_args()
    ticker = Ticker(arguments.schedule, arguments.every)
    signal.signal(signal.SIGTERM, ticker.end)
    ticker.run()


if __name__ == "__main__":
    main()
