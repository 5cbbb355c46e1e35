"""Invoke a schedule of the app with the event of EventBridge and the context of Lambda."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import app


class LambdaContext:
    """The context object that Lambda passes to a handler.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html

    Args:
        function_name: the function's name within the app.
        timeout_s: the time until the invocation's deadline.
    """

    function_version = "$LATEST"
    memory_limit_in_mb = 512

    def __init__(self, function_name: str, timeout_s: float) -> None:
        self.function_name = f"punch-clock-local-{function_name}"
        self.invoked_function_arn = (
            f"arn:aws:lambda:us-east-1:000000000000:function:{self.function_name}"
        )
        self.aws_request_id = str(uuid.uuid4())
        self._deadline = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))

    def shorten(self, timeout_s: float) -> None:
        """Move the deadline to ``timeout_s`` from now, unless it is earlier."""
        self._deadline = min(self._deadline, time.monotonic() + timeout_s)


def invoke(schedule: str, context: LambdaContext) -> Any:
    """Invoke the schedule's handler with a scheduled event of now and return its result."""
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
