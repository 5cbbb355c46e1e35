"""The classic rule, judged once per window, with every number of it a parameter.

It grows by a factor and shrinks by a factor, as ``limiter.Classic`` does. Three things differ, all
in how it is judged: once in so many answers rather than at each call that reaches the limit; a
share of failures is tolerated; and calls that take much longer than they did are as bad as
failures.
Arithmetic only, as in ``limiter``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.integrator.limit.parameters import SHORTEST_S, within

_LONGEST_WAIT_S = 60.0  # no wait is longer, whatever is asked


@dataclass(frozen=True, slots=True)
class WindowedParameters:
    """The numbers of the rule; the defaults are the classic ones. A factor is of the limit."""

    initial: float = within(6.0, 1.0, 60.0)  # calls; where a first run begins
    grow: float = within(1.015, 1.002, 2.0)  # factor after a good window
    shrink: float = within(0.90, 0.3, 0.99)  # factor after a bad one
    window: float = within(1.0, 0.25, 6.0)  # answers of a window, as a factor of the limit
    tolerated: float = within(0.0, 0.0, 0.3)  # share of failures that is still good
    slow: float = within(20.0, 1.05, 20.0)  # latency over the usual one that is bad
    usual_rises: float = within(0.05, 0.001, 0.5)  # share of the way the usual latency rises


class Windowed:
    """A limit that grows after each good window of calls and shrinks after each bad one."""

    def __init__(
        self, clock: Callable[[], float], *, most: float, parameters: WindowedParameters
    ) -> None:
        self._clock = clock
        self._most = most
        self._p = parameters
        self._limit = min(most, parameters.initial)
        self._usual = math.inf  # log latency of a good window, followed down at once and up slowly
        self.not_before = 0.0
        self._open = 0
        self._reached = False
        self._begin()

    @property
    def limit(self) -> float:
        return self._limit

    def on_start(self) -> None:
        self._open += 1
        self._reached = self._reached or self._open >= int(self._limit)

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        del dropped, inflight
        self._open = max(0, self._open - 1)
        self._answers += 1
        if ok:
            self._logs += math.log(max(SHORTEST_S, latency_s))
        else:
            self.recent_failures += 1
        if self._reached and self._answers >= self._p.window * self._limit:
            self._judge()

    def on_retry_after(self, seconds: float) -> None:
        self.not_before = max(self.not_before, self._clock() + min(_LONGEST_WAIT_S, seconds))

    def _begin(self) -> None:
        self.recent_failures = self._answers = 0
        self._logs = 0.0
        self._reached = False

    def _judge(self) -> None:
        p = self._p
        good = self._answers - self.recent_failures
        bad = self.recent_failures > p.tolerated * self._answers
        if good:
            latency = self._logs / good
            rise = latency - self._usual
            self._usual = latency if rise < 0 else self._usual + p.usual_rises * rise
            bad = bad or latency - self._usual > math.log(p.slow)
        self._limit = min(self._most, max(1.0, self._limit * (p.shrink if bad else p.grow)))
        self._begin()

    def snapshot(self) -> dict[str, Any]:
        return {"limit": self._limit, "usual": self._usual if self._usual < math.inf else None}

    def restore(self, state: Any) -> None:
        """Take up a snapshot; anything else leaves all as it is."""
        if not isinstance(state, dict) or not _is_number(state.get("limit")):
            return
        self._limit = min(self._most, max(1.0, state["limit"]))
        self._usual = state["usual"] if _is_number(state.get("usual")) else math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
