"""Call a function that may hang, and wait no longer than a deadline."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")


def call_within(timeout_s: float, call: Callable[[], Result]) -> Result:
    """Return the result of ``call``, which a thread of its own makes, or raise its exception.

    After the timeout, in seconds, the thread goes on, and its result is discarded.

    Raises:
        TimeoutError: there was no result within the timeout.
    """
    results: SimpleQueue[tuple[Result] | Exception] = SimpleQueue()

    def run() -> None:
        try:
            results.put((call(),))
        except Exception as error:  # noqa: BLE001 - raised in the waiting thread
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError(f"no result within {timeout_s} s") from None
    if isinstance(result, Exception):
        raise result
    return result[0]
