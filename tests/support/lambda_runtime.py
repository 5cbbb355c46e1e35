"""The Lambda runtime as far as the code can tell: reads invocations, writes what they return.

Run as a program of its own, without site-packages: all there is to import is the zip, and what
Lambda's own runtime brings. Each line in is ``{"handler", "event", "ms"}``; each line out that is
JSON with a ``returned`` is an answer, all else is the function's log.
"""

import importlib
import json
import sys
import time
import uuid


class Context:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def __init__(self, milliseconds: int) -> None:
        self._ends_at = time.monotonic() + milliseconds / 1000
        self.aws_request_id = str(uuid.uuid4())

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._ends_at - time.monotonic()) * 1000))


def main() -> None:
    task, runtime = sys.argv[1:]
    sys.path[:0] = [task, runtime]
    for line in sys.stdin:
        call = json.loads(line)
        module, _, name = call["handler"].partition(".")
        returned = getattr(importlib.import_module(module), name)(
            call["event"], Context(call["ms"])
        )
        strangers = sorted(
            name
            for name, each in sys.modules.items()
            if "site-packages" in (getattr(each, "__file__", None) or "")
            and not each.__file__.startswith((task, runtime))
        )
        print(json.dumps({"returned": returned, "strangers": strangers}), flush=True)


main()
