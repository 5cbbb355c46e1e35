"""Decide what failures mean: load, noise or an outage."""

import math
from typing import NamedTuple

from chalicelib.integrator.limiter.parameters import (
    BACKGROUND_MARGIN,
    BACKGROUND_SPARE_FAILURES,
    CUT_FLOOR,
    CUT_MAX_FACTOR,
    CUT_MIN_FACTOR,
    CUT_MIN_FAILURES,
    CUT_MIN_LIMIT,
    CUT_SPARE_FAILURES,
    NOISE_CALLS,
    NOISE_CUT_ROUNDS,
    NOISE_EVIDENCE,
    NOISE_HIGHEST,
    NOISE_LOWEST,
    NOISE_MAX_SHARE,
    NOISE_MIN_CALLS,
    NOISE_NEARNESS,
    NOISE_ROUNDS,
    NOISE_TOLERANCE,
    OUTAGE_CHANCE,
    OUTAGE_MIN_FAILURES,
    OUTAGE_PROBE_GROWTH,
    OUTAGE_PROBE_MAX_S,
    OUTAGE_ROUNDS,
    RESUME_FACTOR,
    RESUME_FACTOR_AGAIN,
    Parameters,
)
from chalicelib.integrator.limiter.state import LearnedState


class Outcomes(NamedTuple):
    """How many calls of a sample failed. A sample has one call or more."""

    failures: int
    calls: int

    @property
    def share(self) -> float:
        """The share of the calls that failed."""
        return self.failures / self.calls

    def log_likelihood(self, rate: float) -> float:
        """Return ln(probability) of this order of failures if each call fails at ``rate``."""
        rate = min(NOISE_HIGHEST, max(NOISE_LOWEST, rate))
        return self.failures * math.log(rate) + (self.calls - self.failures) * math.log(1 - rate)


def is_noise(before: Outcomes, after: Outcomes, background: float) -> bool:
    """Return whether failures before and after a cut are clearly more likely noise than load.

    If they are noise, both samples have one rate of failures. If they are load, each has its own,
    and after the cut it is the background at most. Each explanation counts with the rates at which
    it is most likely: a generalized likelihood ratio test (Neyman and Pearson). A small sample
    before the cut fits many rates, so that it decides little.

    Args:
        before: the calls before the cut.
        after: the calls after it.
        background: the share that fails at any load.
    """
    rate = (before.failures + after.failures) / (before.calls + after.calls)
    noise = before.log_likelihood(rate) + after.log_likelihood(rate)
    load = before.log_likelihood(before.share) + after.log_likelihood(min(background, after.share))
    return noise - load > NOISE_EVIDENCE


class FailureDetector:
    """Compares failures with their background rate, and cuts the limit for load or an outage.

    - More failures than the background explains: a *tentative cut*. If the failures go on at the
      lower limit, they are noise: the limit is restored and the background rate learned. If they
      stop, they were load: the limit stays below a ceiling. If they become fewer, but are still too
      many, another cut follows.
    - Only failures for a while: an *outage*. Single outage probes follow, until one succeeds.

    Attributes:
        limit_before_cut: during a tentative cut, the limit before it; otherwise None.
        needs_probe: after several cuts in a row, True until the limiter sets it to False.
        not_before: during an outage, the time of the next outage probe.
        patience_s: failures in a row are an outage only if they last longer. Some calls may be
            refused at once, before others that were sent with them are delivered.
        is_load: whether the last result has shown that load was the cause of failures.
    """

    def __init__(self, parameters: Parameters, learned: LearnedState) -> None:
        self._p, self._learned = parameters, learned
        # A higher background may be load by now: this run has to measure it again.
        learned.background = min(learned.background, parameters.max_background)
        self.limit_before_cut: float | None = None
        self.needs_probe = False
        self.not_before = 0.0
        self.is_load = False
        self.patience_s = 0.0
        self._share_before_cut = self._limit_before_cuts = 0.0
        self._slow_start_before_cut = False
        self._calls = self._failures = self._failures_in_a_row = 0
        self._before_cut = Outcomes(0, 1)  # set by a cut: the calls after the first failure
        self._calls_before_failure = 0  # of these calls, those before the first failure
        self._resume_factor, self._probe_wait_s = RESUME_FACTOR, parameters.outage_probe_s
        self._limit_since = -math.inf  # calls sent earlier were sent at another limit
        self._drained_at = -math.inf  # calls of a cut that were sent earlier show nothing
        self._row_since = -math.inf if learned.outage else math.inf
        self._success_sent_at = -math.inf  # when the latest successful call was sent

    def on_start(self, now: float) -> None:
        """In an outage, delay the next outage probe."""
        if self._learned.outage:
            # Ever longer: the legacy may still be working on calls that have timed out.
            self.not_before = now + self._probe_wait_s
            self._probe_wait_s = min(OUTAGE_PROBE_MAX_S, OUTAGE_PROBE_GROWTH * self._probe_wait_s)

    def on_result(self, ok: bool, sent_at: float, now: float) -> bool:
        """Count a call's result; return whether the limit has moved, so that sampling restarts."""
        learned, self.is_load = self._learned, False
        if sent_at < self._limit_since:
            if not ok and self.limit_before_cut and self._slow_start_before_cut:
                # Each failure of the last step of slow start was one call too many.
                floor = CUT_FLOOR * self.limit_before_cut
                learned.limit = max(1.0, floor, learned.limit - 1)
            return False
        if ok:
            self._success_sent_at = max(self._success_sent_at, sent_at)
        if not ok and sent_at > self._success_sent_at:  # no call sent later has succeeded
            self._failures_in_a_row += 1
            self._row_since = min(self._row_since, sent_at)
            is_long = now - self._row_since >= self.patience_s
            if is_long and not learned.outage and self._is_row:
                self._begin_outage(now)
        elif ok and sent_at >= self._row_since:
            self._failures_in_a_row, self._row_since = 0, math.inf
            if learned.outage:
                return self._end_outage(now)
        return not learned.outage and self._classify(not ok, sent_at, now)

    @property
    def _is_row(self) -> bool:
        """Whether so many calls have failed in a row that neither chance nor load explains it."""
        background = min(NOISE_HIGHEST, max(NOISE_LOWEST, self._learned.background))
        by_chance = math.log(OUTAGE_CHANCE) / math.log(background)
        least = max(OUTAGE_MIN_FAILURES, OUTAGE_ROUNDS * self._learned.limit, by_chance)
        return self._failures_in_a_row >= least

    def _begin_outage(self, now: float) -> None:
        learned = self._learned
        learned.outage, self._probe_wait_s = True, self._p.outage_probe_s
        self.not_before = now + self._probe_wait_s
        learned.limit, self.limit_before_cut = self.limit_before_cut or learned.limit, None

    def forget_outage(self) -> None:
        """End an outage: a pause does as much."""
        self._learned.outage, self.not_before = False, 0.0
        self._failures_in_a_row, self._row_since = 0, math.inf

    def _end_outage(self, now: float) -> bool:
        """Resume near the limit before the outage; lower if the last outage was not long ago."""
        self._learned.outage, self.not_before = False, 0.0
        factor, self._resume_factor = self._resume_factor, RESUME_FACTOR_AGAIN
        return self._move(factor * self._learned.limit, now)

    def _classify(self, failed: bool, sent_at: float, now: float) -> bool:
        """Cut the limit, or decide what the failures during a cut were; return whether it moved."""
        p, learned, before = self._p, self._learned, self.limit_before_cut
        if before is not None and sent_at < self._drained_at:
            return False
        self._calls_before_failure += not (failed or self._failures)
        self._calls, self._failures = self._calls + 1, self._failures + failed
        share, expected = self._failures / self._calls, learned.background * self._calls
        if before is None:
            by_chance = expected + p.failure_deviations * math.sqrt(expected) + CUT_SPARE_FAILURES
            if self._failures > max(CUT_MIN_FAILURES, by_chance):
                return self._cut(share, sent_at, now)
            if self._calls >= max(NOISE_CALLS, NOISE_ROUNDS * learned.limit):
                self._begin_count()
                self._resume_factor = RESUME_FACTOR
                learned.background = min(
                    learned.background, max(p.max_background, BACKGROUND_MARGIN * share)
                )
        elif self._calls >= min(
            NOISE_CALLS, max(NOISE_MIN_CALLS, NOISE_CUT_ROUNDS * learned.limit)
        ):
            if self._must_cut_again(share, before):
                return self._cut(share, sent_at, now)
            return self._end_cut(share, before, now)
        return False

    def _must_cut_again(self, share: float, before: float) -> bool:
        """Return whether the failures of a cut are too many, and may still be load.

        If load is their cause, the legacy goes on accepting as many calls as before the cut, and
        their share falls. If they are noise, it stays. A share that grows is load, too. With most
        calls failing, load and noise are too close to tell.
        """
        learned, share_before = self._learned, self._share_before_cut
        tolerated = max(self._p.max_background, NOISE_TOLERANCE * learned.background)
        if share < tolerated or learned.limit < CUT_MIN_LIMIT:
            return False
        by_load = max(0.0, 1 - (1 - share_before) * before / learned.limit)
        least = by_load + NOISE_NEARNESS * (share_before - by_load)
        most = min(2 * share_before, (1 + share_before) / 2)
        return share_before > NOISE_MAX_SHARE or not least <= share <= most

    def _end_cut(self, share: float, before: float, now: float) -> bool:
        """Restore the limit if the failures were noise; otherwise set a ceiling."""
        learned, highest = self._learned, self._limit_before_cuts
        after = Outcomes(self._failures, self._calls)
        restores = is_noise(self._before_cut, after, learned.background)
        if restores:
            learned.background = share
        else:  # what still fails may be load, too; but a few calls without a failure are chance
            most = (self._failures + BACKGROUND_SPARE_FAILURES) / self._calls
            learned.background = min(most, learned.background)
        self.limit_before_cut = None
        if restores:
            learned.slow_start = self._slow_start_before_cut
            return self._move(max(highest, learned.limit), now)
        self.is_load = True
        if before < highest:
            # The failures may as well have ended by themselves: the limit has to grow back soon.
            learned.ceiling, self.needs_probe = highest, True
        else:
            was_step = self._slow_start_before_cut
            learned.ceiling = learned.limit if was_step else before * self._p.ceiling_factor
        return self._move(learned.limit, now)

    def _cut(self, share: float, sent_at: float, now: float) -> bool:
        """Cut the limit by the share of failures, and remember what to restore.

        The legacy may still be working on the calls before the cut, on those that timed out, too.
        The calls that are sent meanwhile fail like them. ``sent_at`` of the call whose failure
        leads to the cut tells how long that lasts.
        """
        learned = self._learned
        if self.limit_before_cut is None:
            self._limit_before_cuts = learned.limit
            self._slow_start_before_cut = learned.slow_start
        self.limit_before_cut = learned.limit
        self._share_before_cut = share
        # The calls before the first failure may have been sent at a lower limit.
        since_first = self._calls - self._calls_before_failure - 1
        self._before_cut = Outcomes(self._failures - 1, since_first)
        learned.slow_start, self._drained_at = False, now + (now - sent_at)
        factor = min(CUT_MAX_FACTOR, max(CUT_MIN_FACTOR, 1 - share))
        return self._move(learned.limit * factor, now)

    def _begin_count(self) -> None:
        self._calls = self._failures = self._calls_before_failure = 0

    def _move(self, limit: float, now: float) -> bool:
        """Set the limit and restart the counts; always return True."""
        self._begin_count()
        self._limit_since = now if limit < self._learned.limit else self._limit_since
        self._learned.limit = max(1.0, limit)
        return True
