"""Which threads of call pools are alive in this process."""

import threading

from chalicelib.integrator.call_thread import THREAD_NAME


def call_pool_threads() -> list[str]:
    """Return the names of the live threads of all call pools."""
    return [each.name for each in threading.enumerate() if each.name == THREAD_NAME]
