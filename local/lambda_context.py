"""Run a schedule of the app as EventBridge and Lambda do: same event, same context."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import app


class Context:
    """What Lambda tells a function of its run.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    function_version = "$LATEST"
    memory_limit_in_mb = 512

    def __init__(self, function_name: str, seconds: float) -> None:
        self.function_name = f"punch-clock-local-{function_name}"
        self.invoked_function_arn = (
            f"arn:aws:lambda:us-east-1:000000000000:function:{self.function_name}"
        )
        self.aws_request_id = str(uuid.uuid4())
        self._ends_at = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._ends_at - time.monotonic()) * 1000))

    def shorten(self, seconds: float) -> None:
        """Let the run end in ``seconds`` at the latest."""
        self._ends_at = min(self._ends_at, time.monotonic() + seconds)


def invoke(schedule: str, context: Context) -> Any:
    """Run the schedule's handler now, as at a tick, and return what it returns."""
    rule = f"arn:aws:events:us-east-1:000000000000:rule/{context.function_name}-event"
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "resources": [rule],
        "detail": {},
    }
    return getattr(app, schedule)(event, context)
