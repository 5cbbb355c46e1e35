"""Which threads of call pools are alive in this process."""

import threading

from chalicelib.integrator.call_pool import THREAD_NAME_PREFIX


def call_pool_threads() -> list[str]:
    """Return the names of the live workers and supervisors of all call pools."""
    names = [each.name for each in threading.enumerate()]
    return [name for name in names if name.startswith(THREAD_NAME_PREFIX)]
