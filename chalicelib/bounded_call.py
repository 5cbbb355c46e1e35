"""Bound how long a caller waits for a call that may hang.

The timeouts of sockets and statements are those of one wait each. A store that hangs, or that
answers byte by byte, can use up several of them in turn. This bound is one for everything: the
name look-up, TLS, the secret that has the address, and the statement.
"""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from chalicelib.errors import UnavailableError

T = TypeVar("T")


def begin(call: Callable[[], T], store: str) -> Callable[[float], T]:
    """Start ``call`` in a thread, and return a function that waits for its result.

    The function takes the longest wait in seconds; with 0 it only looks. It returns or raises what
    the call did, and raises UnavailableError if the call has not ended by then. That call is
    abandoned: nobody waits for its thread, which must end by timeouts of its own.

    Args:
        call: what to do. It may be abandoned at any point: it only reads, or is idempotent.
        store: what the call waits for, for the message of the error.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
            future.set_exception(error)
        else:
            future.set_result(result)

    # The thread's log lines have the ids of the request.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), daemon=True, name=f"await {store}").start()

    def result(within_s: float) -> T:
        try:
            return future.result(max(0.0, within_s))
        except TimeoutError as error:
            if future.done():  # the call itself raised it, or has ended just now
                return future.result()
            raise UnavailableError(f"{store} did not answer in time. Try again soon.") from error

    return result
