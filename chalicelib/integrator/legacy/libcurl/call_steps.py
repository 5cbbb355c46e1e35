"""A call as a generator: it yields whenever it must wait, for a transfer or for something else.

So authentication reads like a sequence of requests, and a thread serves other calls meanwhile.
"""

import time
from collections.abc import Generator
from typing import cast

import pycurl

from chalicelib.integrator.outcome import CallResult

Transfer = Generator[pycurl.Curl, int, int]
"""One transfer or several: each yields its handle and takes libcurl's code; returns the last code.
"""

Call = Generator[pycurl.Curl | None, int, CallResult]
"""A whole call: yields and takes as ``Transfer`` does, and returns how the call ended.

It yields None to be resumed after ``PAUSE_S``, since it waits for something else than a transfer.
"""

# How often a call that waits for a token asks for it. A token request takes several times as long.
PAUSE_S = 0.02


def perform(call: Call) -> CallResult:
    """Make the transfers of a call, one after another, and return how it ended."""
    try:
        handle = next(call)
        while True:
            error = int(pycurl.E_OK)
            try:
                if handle:
                    handle.perform()
                else:
                    time.sleep(PAUSE_S)
            except pycurl.error as failure:
                error = int(failure.args[0])
            handle = call.send(error)
    except StopIteration as end:
        return cast(CallResult, end.value)
