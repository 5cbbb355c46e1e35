"""Remember when the calls of an interval were sent, and compute the tokens that they used."""

from chalicelib.integrator.limiter.parameters import SEND_LOG_SIZE


class SendLog:
    """The calls of an interval: how many had been sent at some of their times.

    A log of bounded size: once it is full, every other entry is dropped.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []  # time, calls sent before it
        self._calls_per_entry = 1

    def add(self, now: float, sent: int) -> None:
        """Note that a call is sent now, after ``sent`` others."""
        if sent % self._calls_per_entry:
            return
        self._entries.append((now, sent))
        if len(self._entries) >= SEND_LOG_SIZE:
            del self._entries[1::2]
            self._calls_per_entry *= 2

    def tokens_used(self, rate: float, calls: int, until: float) -> float:
        """Return how many tokens a full bucket needs, so that it is empty only at the end.

        A full bucket admits burst + rate * time. It may be full at any time of the interval,
        because calls were sent below its rate. The time that needs most tokens counts.

        Args:
            rate: tokens per second that the bucket is filled with.
            calls: calls that the interval admitted.
            until: the interval's end.
        """
        return self._from_full(rate, calls, until)[0]

    def calls_from_full(self, rate: float, calls: int, until: float) -> tuple[int, float]:
        """Return the calls since the time that needs most tokens, and the seconds since it.

        The arguments are those of ``tokens_used``.
        """
        _, at, sent = self._from_full(rate, calls, until)
        return calls - sent, until - at

    def _from_full(self, rate: float, calls: int, until: float) -> tuple[float, float, int]:
        """Return the tokens used from the time that needs most, the time, and the calls before."""
        tokens = (
            (calls - sent - rate * (until - at), at, sent)
            for at, sent in self._entries
            if at <= until
        )
        return max(tokens, default=(0.0, until, calls))
