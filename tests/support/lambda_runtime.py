"""Imitate the Lambda runtime: read invocations from stdin, write the results to stdout.

Run as a program without site-packages: the zip and the libraries of Lambda's runtime are all that
can be imported. Each input line is ``{"handler", "event", "ms"}``. An output line that is JSON with
a ``returned`` member is a result; all other lines are the function's log. ``foreign_modules`` lists
the modules that were imported from elsewhere.
"""

import importlib
import json
import sys
import time
import uuid


class Context:
    """The members that the code uses.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

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
        foreign_modules = sorted(
            name
            for name, each in sys.modules.items()
            if "site-packages" in (file := getattr(each, "__file__", None) or "")
            and not file.startswith((task, runtime))
        )
        print(json.dumps({"returned": returned, "foreign_modules": foreign_modules}), flush=True)


main()
