"""What failures mean: load, noise or an outage."""

import math

from chalicelib.integrator.parameters import Learned, Parameters

_TRIAL_CALLS = 50


class Blame:
    """Tells load from noise: cuts the limit, and takes failures that go on regardless for noise."""

    def __init__(self, parameters: Parameters, learned: Learned) -> None:
        self._p, self._learned = parameters, learned
        self.uncut: float | None = None  # while a cut is on trial: the limit before it
        self._uncut_share = self._uncut_starting = 0.0
        self.count_anew()

    def count_anew(self) -> None:
        self._calls = self._failed = 0

    def on_result(self, ok: bool, looking: bool) -> float | None:
        """Count a call, sent on a look below or not; return the limit to move to, if any."""
        p, learned = self._p, self._learned
        self._calls += 1
        self._failed += not ok
        if looking:  # hardly for load
            learned.background += 0.005 * ((not ok) - learned.background)
        share, expected = self._failed / self._calls, learned.background * self._calls
        if self.uncut is None:
            if self._failed > max(3, expected + p.surprise * math.sqrt(expected) + 1):
                return self._cut(share)
            if self._calls >= max(_TRIAL_CALLS, 2 * learned.limit):
                self.count_anew()
        elif self._calls >= _TRIAL_CALLS:
            if share >= p.most_background:
                return self._cut(share)
            uncut, self.uncut = self.uncut, None
            if 0.5 * self._uncut_share < share and self._uncut_share < p.most_background:
                learned.background = max(learned.background, share)
                learned.starting = self._uncut_starting
                return max(uncut, learned.limit)
            if not self._uncut_starting:
                learned.ceiling = uncut * p.under_ceiling
            self.count_anew()
        return None

    def _cut(self, share: float) -> float:
        learned = self._learned
        self.uncut, self._uncut_share = learned.limit, share
        self._uncut_starting, learned.starting = learned.starting, 0.0
        return learned.limit * min(0.85, max(0.5, 1 - share))


class Outage:
    """Many failures in a row: from then on single calls, spaced, until one succeeds."""

    def __init__(self, parameters: Parameters, learned: Learned) -> None:
        self._p, self._learned = parameters, learned
        self._row, self._row_began_at = 0, -math.inf if learned.outage else math.inf
        self.not_before = 0.0

    def on_start(self, now: float) -> None:
        self.not_before = now + self._p.probe_s

    def on_failure(self, started: float) -> bool:
        """Count a failure; say whether an outage begins with it."""
        self._row, self._row_began_at = self._row + 1, min(self._row_began_at, started)
        enough = self._row >= max(self._p.outage_run, 0.5 * self._learned.limit)
        begins = enough and not self._learned.outage
        self._learned.outage = float(enough or self._learned.outage)
        return begins

    def on_success(self, started: float) -> bool:
        """Say whether an outage ends with a success, which must have been sent during it."""
        if started < self._row_began_at:
            return False
        self._row, self._row_began_at = 0, math.inf
        ends, self._learned.outage = bool(self._learned.outage), 0.0
        return ends
