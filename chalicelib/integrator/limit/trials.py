"""Evolution in service: now and then a mutated set of parameters is tried, and kept if it pays.

         rest         incumbent    mutant    incumbent        rest …
    ────────────────┼───────────┼──────────┼───────────┼──────────────
                       before                   after

A trial is one slice of time between two of the incumbent's with which it is compared, so that a
legacy that gets faster or slower by itself speaks for neither. What counts is calls accepted a
second, less a price for those that fail. One trial proves little: a mutant is kept when the mean of
several is above zero by a margin of standard errors, dropped when it is below, and at once when
failures burst. It is a (1+1) evolution strategy whose step follows the one-fifth rule (Rechenberg,
1973). Arithmetic only: clock and chance are handed in.
"""

import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any

from chalicelib.integrator.limit.evolved import checked
from chalicelib.integrator.limit.genome import Genome, mutate
from chalicelib.integrator.limit.protocol import Limiter
from chalicelib.settings import SettingsError
from chalicelib.telemetry import event

_SLICE_S, _LONGEST_SLICE_S = 5.0, 60.0
_SLICE_LATENCIES = 30
_SETTLING = 0.3
"""Share of a slice that does not count: calls of the one before are still open."""
_PRICE = 0.25
"""What a failed call costs, in accepted ones."""
_UNLIKE = 0.25
"""Slices of the incumbent that differ by more than this share say nothing of what is between."""
_IDLE = 0.1
"""A slice counts only if less than this share of what the limit allows was left unused."""
_FEWEST, _MOST = 6, 24
"""Trials of one mutant."""
_WORTHWHILE, _MARGIN = 0.003, 3.0
"""A mutant is kept whose mean gain is above the first by so many standard errors, and dropped when
it is below zero. Where a trial errs by 5 %, that keeps one in 40 of the mutants that change
nothing; where it errs by 3 %, 99 in 100 of those that gain 5 %. Both take six or seven trials."""
_LEAST_DEVIATION = 0.02
_BURST, _BURST_SHARE = 5, 0.2
"""Failed calls that end a trial, where they are such a share beyond what the incumbent's is."""
_MUTATED = 0.15
"""Share of the parameters that a mutation changes, beside one."""
_RETURNS = 0.1
"""Share of the mutants that are the set it all began with: the legacy may have changed back."""
_BEFORE, _MUTANT, _AFTER = 1, 2, 3
"""Slices of a trial so far, by whose turn it is."""
_FIRST_STEP, _LEAST_STEP, _MOST_STEP = 0.25, 0.05, 0.4


class _Slice:
    """What one stretch of time brought; what settles at its beginning is not part of its worth."""

    def __init__(self, now: float, length_s: float) -> None:
        self._counts_from = now + _SETTLING * length_s
        self.until = now + length_s
        self.ended = self.failed = 0
        self._accepted = self._refused = 0
        self._idle_s = 0.0

    def count(self, now: float, ok: bool) -> None:
        self.ended += 1
        self.failed += not ok
        if now >= self._counts_from:
            self._accepted += ok
            self._refused += not ok

    def idle(self, since: float, now: float, spare: float) -> None:
        """Note that this share of the limit was left unused for want of records."""
        self._idle_s += spare * max(0.0, now - max(since, self._counts_from))

    @property
    def worth(self) -> float:
        """Records accepted a second, less the price of failures."""
        return (self._accepted - _PRICE * self._refused) / (self.until - self._counts_from)

    @property
    def was_busy(self) -> bool:
        return self._idle_s < _IDLE * (self.until - self._counts_from)


class Trials:
    """A limiter whose parameters are tried and changed while it works."""

    def __init__(
        self,
        clock: Callable[[], float],
        make: Callable[[Any], Limiter],
        parameters: Any,
        policy: str,
        *,
        share: float,
        chance: random.Random,
    ) -> None:
        """Begin with ``parameters``.

        Args:
            make: makes the limiter; it must look up a parameter whenever it uses one.
            policy: whose parameters they are, of ``evolved.EVOLVED``.
            share: of the time that mutants may take, at most a quarter.
        """
        self._clock, self._policy = clock, policy
        self._share, self._chance = share, chance
        self._genome = Genome(parameters)
        self._home = self._incumbent = parameters
        self._mutant: Any = None
        self._gains: list[float] = []
        self._step = _FIRST_STEP
        self._in_use = SimpleNamespace(**asdict(parameters))
        self._limiter = make(self._in_use)
        self.recent_failures = 0
        self._open = 0
        self._spare_since: float | None = None
        self._spare = 0.0
        self._usual_s = 0.1
        self._failing = 0.0  # share of the incumbent's calls that fail
        self._slices: list[_Slice] = []  # of the trial under way
        self._rest_until = -math.inf
        self._rest(clock())

    # -- a limiter, as the integrator sees it

    @property
    def limit(self) -> float:
        return self._limiter.limit

    @property
    def not_before(self) -> float:
        return self._limiter.not_before

    def on_start(self) -> None:
        now = self._clock()
        self._note_idle(now)
        self._open += 1
        self._limiter.on_start()
        self._expect_next(now)

    def on_retry_after(self, seconds: float) -> None:
        self._limiter.on_retry_after(seconds)

    def on_result(self, ok: bool, latency_s: float, dropped: bool, inflight: int) -> None:
        now = self._clock()
        self._note_idle(now)
        self._open = max(0, self._open - 1)
        self._limiter.on_result(ok, latency_s, dropped, inflight)
        self.recent_failures = self._limiter.recent_failures
        if ok and 0 < latency_s < _LONGEST_SLICE_S:
            self._usual_s += 0.05 * (latency_s - self._usual_s)
        if self._slices:
            self._slices[-1].count(now, ok)
        if len(self._slices) != _MUTANT:
            self._failing += 0.01 * ((not ok) - self._failing)
        self._advance(now)
        self._expect_next(now)

    def snapshot(self) -> dict[str, Any]:
        return self._limiter.snapshot() | {
            "trials": {
                "home": self._digest(),
                "incumbent": self._changed(self._incumbent),
                "mutant": None if self._mutant is None else self._changed(self._mutant),
                "gains": self._gains,
                "step": self._step,
            }
        }

    def restore(self, state: Any) -> None:
        """Take up an earlier snapshot; trials from elsewhere or without sense are forgotten."""
        self._limiter.restore(state)
        try:
            self._take_up(state["trials"])
        except (KeyError, TypeError, ValueError, SettingsError):
            return
        self._use(self._incumbent)

    # -- from run to run

    def _digest(self) -> str:
        return sha256(json.dumps(asdict(self._home), sort_keys=True).encode()).hexdigest()[:16]

    def _changed(self, parameters: Any) -> dict[str, float]:
        home = asdict(self._home)
        return {name: value for name, value in asdict(parameters).items() if value != home[name]}

    def _take_up(self, state: Any) -> None:
        if state["home"] != self._digest():
            return
        incumbent = self._checked(state["incumbent"])
        mutant = None if state["mutant"] is None else self._checked(state["mutant"])
        gains = [float(gain) for gain in state["gains"]][-_MOST:]
        step = float(state["step"])
        if not all(-1 <= gain <= 1 for gain in gains) or not _LEAST_STEP <= step <= _MOST_STEP:
            return
        self._incumbent, self._mutant = incumbent, mutant
        self._gains = gains if mutant else []
        self._step = step

    def _checked(self, changed: Any) -> Any:
        return checked(self._policy, asdict(self._home) | dict(changed), "the state")

    # -- slice by slice

    def _rest(self, now: float) -> None:
        self._use(self._incumbent)
        self._slices = []
        # Of no fixed length, lest trials keep step with whatever else comes back in time.
        rest = (1 / self._share - 3) * self._chance.uniform(0.5, 1.5)
        self._rest_until = now + rest * self._slice_s

    @property
    def _slice_s(self) -> float:
        return min(_LONGEST_SLICE_S, max(_SLICE_S, _SLICE_LATENCIES * self._usual_s))

    def _use(self, parameters: Any) -> None:
        self._in_use.__dict__.update(asdict(parameters))

    def _advance(self, now: float) -> None:
        """Go on to the next slice when this one is over, and judge a trial that is complete."""
        if not self._slices:
            if now >= self._rest_until:
                self._slices.append(_Slice(now, self._slice_s))
            return
        current = self._slices[-1]
        if len(self._slices) == _MUTANT and self._bursts(current):
            self._replace_mutant(paid=False)
            self._rest(now)
        elif now < current.until:
            return
        elif len(self._slices) < _AFTER:
            if len(self._slices) == _BEFORE:
                self._mutant = self._mutant or self._mutate()
                self._use(self._mutant)
            else:
                self._use(self._incumbent)
            self._slices.append(_Slice(now, self._slice_s))
        else:
            self._judge(*self._slices)
            self._rest(now)

    def _bursts(self, current: _Slice) -> bool:
        allowed = (self._failing + _BURST_SHARE) * current.ended
        return current.failed >= max(_BURST, allowed)

    def _judge(self, before: _Slice, trial: _Slice, after: _Slice) -> None:
        """Compare a mutant's slice with those around it; keep or drop it when enough is known."""
        usual = (before.worth + after.worth) / 2
        alike = abs(after.worth - before.worth) <= _UNLIKE * usual
        busy = before.was_busy and trial.was_busy and after.was_busy
        if not (busy and alike and usual > 0):
            return
        self._gains.append(min(1.0, max(-1.0, trial.worth / usual - 1)))
        trials, gain = len(self._gains), fmean(self._gains)
        if trials < 2:
            return
        error = max(_LEAST_DEVIATION, stdev(self._gains)) / math.sqrt(trials)
        if trials >= _FEWEST and gain > _WORTHWHILE + _MARGIN * error:
            event(
                "changed parameters of the limit pay",
                gain=round(gain, 4),
                trials=trials,
                parameters=self._changed(self._mutant),
            )
            self._incumbent = self._mutant
            self._replace_mutant(paid=True)
        elif gain < 0 or trials >= _MOST:
            self._replace_mutant(paid=False)

    def _replace_mutant(self, *, paid: bool) -> None:
        """Forget the mutant; the next one is drawn further off after a success, else nearer."""
        self._mutant = None
        self._gains = []
        step = self._step * (1.5 if paid else 1.5**-0.25)
        self._step = min(_MOST_STEP, max(_LEAST_STEP, step))

    def _mutate(self) -> Any:
        if self._incumbent != self._home and self._chance.random() < _RETURNS:
            return self._home
        genes = self._genome.encode(self._incumbent)
        return self._genome.decode(mutate(genes, self._step, _MUTATED, self._chance))

    # -- whether there was work

    def _note_idle(self, now: float) -> None:
        if self._slices and self._spare_since is not None:
            self._slices[-1].idle(self._spare_since, now, self._spare)

    def _expect_next(self, now: float) -> None:
        """Note from when on, and how far, the limit is left unused until the next call is sent."""
        self._spare_since = None
        if self._slices:
            limit = int(self._limiter.limit)
            if self._open < limit:
                self._spare_since = max(now, self._limiter.not_before)
                self._spare = 1 - self._open / limit
