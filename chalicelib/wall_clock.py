"""Measure pauses by the wall clock, which may be set back.

What outlives an invocation goes by the wall clock: Lambda freezes an environment between two
invocations, and its monotonic clock may stop meanwhile. A pause of a minute could last for hours.
"""


def has_passed(pause_s: float, since: float, now: float) -> bool:
    """Return whether a pause that began at ``since`` is over at ``now``.

    If it seems to have begun in the future, the clock was set back, and tells nothing of the pause:
    it is over.
    """
    return not 0 <= now - since < pause_s
