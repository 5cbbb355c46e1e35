"""What failures mean: load, noise or an outage."""

import math

from chalicelib.integrator.limiter.parameters import Learned, Parameters

_TRIAL_CALLS = 50


class Failures:
    """Weighs failures against their background, which trials teach.

    For more than that the limit is cut on trial: failures that go on regardless were noise. Many in
    a row are an outage: from then on single calls go out, spaced, until one succeeds.
    """

    def __init__(self, parameters: Parameters, learned: Learned) -> None:
        self._p, self._learned = parameters, learned
        # What is more may have become load by now: it is to be shown again.
        learned.background = min(learned.background, parameters.most_background)
        self.trial_from: float | None = None  # the limit before a cut on trial
        self._share_before = self._was_starting = self.not_before = 0.0
        self._calls = self._failed = self._row = 0
        self._resume, self._wait_s = 0.9, parameters.probe_s
        self._since = -math.inf  # calls sent before it tell of the limit before
        self._row_since = -math.inf if learned.outage else math.inf
        self._good_since = -math.inf  # when the last of those that ended well was sent

    def on_start(self, now: float) -> None:
        if self._learned.outage:  # ever rarer: what is given up may still have to be worked off
            self.not_before = now + self._wait_s
            self._wait_s = min(15.0, 1.05 * self._wait_s)

    def on_result(self, ok: bool, started: float, now: float) -> bool:
        """Count a call; say whether the limit was changed for good by it."""
        learned = self._learned
        if started < self._since:
            if not ok and self.trial_from and self._was_starting:  # each was one call too many
                learned.limit = max(1.0, 0.3 * self.trial_from, learned.limit - 1)
            return False
        if ok:
            self._good_since = max(self._good_since, started)
        if not ok and started > self._good_since:  # no call sent later has ended well
            self._row, self._row_since = self._row + 1, min(self._row_since, started)
            if not learned.outage and self._row >= max(6, 0.5 * learned.limit):
                learned.outage, self._wait_s = 1.0, self._p.probe_s
                self.not_before = now + self._wait_s
                learned.limit, self.trial_from = self.trial_from or learned.limit, None
        elif ok and started >= self._row_since:
            self._row, self._row_since = 0, math.inf
            if learned.outage:
                learned.outage = self.not_before = 0.0
                resume, self._resume = self._resume, 0.5
                return self._move(resume * learned.limit, now)
        return not learned.outage and self._weigh(not ok, now)

    def _weigh(self, failed: bool, now: float) -> bool:
        p, learned, before = self._p, self._learned, self.trial_from
        self._calls, self._failed = self._calls + 1, self._failed + failed
        share, expected = self._failed / self._calls, learned.background * self._calls
        if before is None:
            if self._failed > max(5, expected + p.surprise * math.sqrt(expected) + 1):
                return self._cut(share, now)
            if self._calls >= max(_TRIAL_CALLS, 2 * learned.limit):
                self._calls, self._failed, self._resume = 0, 0, 0.9
                learned.background = min(learned.background, max(p.most_background, 2 * share))
        elif self._calls >= _TRIAL_CALLS:
            # More than a fifth is taken for load, unless it goes on with a single call open.
            most = max(p.most_background, 1.5 * learned.background)
            if share >= most and learned.limit >= 2:
                return self._cut(share, now)
            learned.background, self.trial_from = share, None
            if share > 0.5 * self._share_before:  # noise
                learned.starting = self._was_starting
                return self._move(max(before, learned.limit), now)
            learned.ceiling = learned.limit if self._was_starting else before * p.under_ceiling
            return self._move(learned.limit, now)
        return False

    def _cut(self, share: float, now: float) -> bool:
        learned = self._learned
        self.trial_from, self._share_before = learned.limit, share
        self._was_starting, learned.starting = learned.starting, 0.0
        return self._move(learned.limit * min(0.85, max(0.5, 1 - share)), now)

    def _move(self, limit: float, now: float) -> bool:
        self._calls = self._failed = 0
        self._since = now if limit < self._learned.limit else self._since
        self._learned.limit = max(1.0, limit)
        return True
