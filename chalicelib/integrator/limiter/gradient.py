"""The gradient limit: find the most calls in flight that still add throughput, from latencies.

After each sample window, with ``latency`` the geometric mean of its successful calls:

    knee   = limit * base / latency
    target = headroom * knee * exp(deviation_scale * error) + queue_size
    limit' = limit * (target / limit) ^ (smoothing / steepness)
    error  = √(variance * (1 / window_calls + 1 / base_calls)), of the log latencies

``steepness`` is d ln(latency) / d ln(limit), 1 or more: see ``steepness.Steepness``.

- *Little's law*: calls in flight = throughput * latency. In a full pool the throughput is therefore
  limit / latency, and the knee is the throughput * the latency without a queue: more calls in
  flight would only queue. BBR calls this the bandwidth-delay product and measures the base latency
  as this module does, by probes with fewer calls in flight (ProbeRTT).
- *Netflix's Gradient2Limit*: limit' = (1 - smoothing) * limit + smoothing * (limit * gradient +
  queueSize), with gradient = tolerance * long-term RTT / short-term RTT, between 0.5 and 1. Here
  base / latency is the gradient and the headroom is the tolerance. The differences: the base is a
  latency without a queue rather than a long-term mean, the tolerance grows with the error of the
  measurement, the smoothing is geometric, and slow start and probes are added.

``state.LimiterState`` lists the states. This module has three of them:

- *Slow start*: while latency stays at its base, each step adds up to ``slow_start_calls``, or
  doubles the limit. Each successful call opens a part of the step: a refusal ends it early. If
  latency grows with the limit, slow start ends. Then its first window may have queued, so that the
  base latency is doubtful, and the first probe is deep.
- *Steady*: the formula above. Two windows in a row without a queue resume slow start.
- *Probe*: at regular intervals, and after a large rise, one window at a lower limit. If latency
  falls by less than the limit, the lower window had no queue and is the base latency: if it hardly
  falls, the work itself has become slower. If latency falls about as much as the limit, calls queue
  at both limits, since at the same throughput latency is proportional to the limit. If it is far
  above the base, a deeper probe follows. Probes are added up (``probe_evidence``). Between two
  probes the formula may lower the limit as far. Then the same comparison applies.
"""

import math

from chalicelib.integrator.limiter.ceiling import Ceiling
from chalicelib.integrator.limiter.parameters import (
    BASE_CONFIRMED,
    BASE_RESET_ERRORS,
    CEILING_ERRORS,
    FALL_FACTOR,
    FALL_RISE_ERRORS,
    FIRST_PROBE_FACTOR,
    NO_CEILING,
    PROBE_MIN_FACTOR,
    SLOW_START_FULL,
    SLOW_START_MIN_CALLS,
    SLOW_START_MIN_STEP,
    SLOW_START_WINDOW,
    SLOW_START_WINDOWS,
    VARIANCE_WEIGHT,
    WINDOW_FEW_SUCCESSES,
    WINDOW_FULL,
    WINDOW_MIN_CALLS,
    WINDOW_SUCCESSES,
    Parameters,
)
from chalicelib.integrator.limiter.probe_evidence import add_probe, excess_relief, forget_probes
from chalicelib.integrator.limiter.sample_window import SampleWindow
from chalicelib.integrator.limiter.state import LearnedState
from chalicelib.integrator.limiter.steepness import Steepness


class GradientLimit:
    """Adjusts the limit after each sample window.

    Attributes:
        window: the current sample.
        above_probe: during a probe, the window whose limit the probe lowered; otherwise None.
    """

    def __init__(
        self, parameters: Parameters, learned: LearnedState, max_limit: float, now: float
    ) -> None:
        self._p, self._learned, self._max_limit = parameters, learned, max_limit
        self._windows_without_queue = 0
        self._ceiling = Ceiling(learned)
        self._slow_start_window: SampleWindow | None = None  # the first one of this slow start
        self._last_window: SampleWindow | None = None  # in the steady state, probes left out
        self._before_fall: SampleWindow | None = None  # the last window before the limit fell
        self._steepness = Steepness()
        self._calls_per_success = 0.0  # by which a success raises the limit in slow start
        self.above_probe: SampleWindow | None = None
        self._begin_window(now)

    def _begin_window(self, now: float, step_to: float = 0.0) -> None:
        """Begin a window, sized by the variance of latencies.

        Args:
            now: the clock's time.
            step_to: the limit that a step of slow start leads to; 0 without a step.
        """
        p, learned, limit = self._p, self._learned, int(step_to or self._learned.limit)
        self._step_to, self._step_successes = step_to, 0
        if learned.slow_start:  # the last calls of a step are the ones that queue
            size = max(SLOW_START_MIN_CALLS, SLOW_START_WINDOW * limit)
            full = SLOW_START_FULL * limit
        else:
            wanted = min(
                p.window_calls, p.window_rounds * limit, learned.variance / p.window_error**2
            )
            size = max(WINDOW_MIN_CALLS, limit, wanted)
            full = WINDOW_FULL * limit
        self.window = SampleWindow(limit, int(size), full, now)

    def restart_window(self, now: float) -> None:
        """Drop the window and begin another: failures have moved the limit, or may do so."""
        self._steepness.interrupt()
        self.above_probe = None
        self._begin_window(now)

    def probe_soon(self) -> None:
        """Have a probe follow the next window."""
        self._learned.windows_since_probe = int(self._p.probe_interval)

    def on_success(self) -> None:
        """Open a part of the current step of slow start."""
        self._step_successes += 1
        if self._learned.limit < self._step_to:
            self._learned.limit = min(self._step_to, self._learned.limit + self._calls_per_success)

    def on_window(self, now: float) -> None:
        """Set the limit from the complete window, and begin the next one."""
        window, above, learned = self.window, self.above_probe, self._learned
        step_to, self.above_probe = 0.0, None
        few = max(WINDOW_FEW_SUCCESSES, WINDOW_SUCCESSES * window.ended)
        has_latency = window.succeeded > few
        if learned.slow_start or not has_latency:
            self._steepness.interrupt()
        else:
            self._steepness.add(window)
        if has_latency:
            self._ceiling.rise(self._windows_without_queue)
            learned.variance += VARIANCE_WEIGHT * (window.variance - learned.variance)
            limit = self._end_probe(window, above) if above else self._next_limit(window)
            learned.limit = limit = min(self._max_limit, max(1.0, min(limit, learned.ceiling)))
            if learned.slow_start and limit > window.limit:
                step_to, self._calls_per_success = limit, limit / window.limit - 1
                learned.limit = min(
                    step_to, window.limit + self._calls_per_success * self._step_successes
                )
        elif above:
            learned.limit = above.limit  # the probe has shown nothing, and ends
        self._begin_window(now, step_to)

    def _next_limit(self, window: SampleWindow) -> float:
        """Return the limit after a window that was no probe."""
        p, learned = self._p, self._learned
        if window.limit == 1:  # a single call queues behind none of ours: its latency is the base
            self._update_base(window)
        rise = window.log_latency - learned.base_log_latency if learned.base_calls else 0.0
        if learned.slow_start:
            return self._after_slow_start_window(window, rise)
        self._slow_start_window = None  # failures may have ended slow start
        learned.windows_since_probe += 1
        is_due = rise > p.congestion_rise or learned.windows_since_probe >= p.probe_interval
        if is_due and window.limit > 1:
            return self._begin_probe(window, rise)
        return self._after_steady_window(window, rise)

    def _after_slow_start_window(self, window: SampleWindow, rise: float) -> float:
        """Return the limit after the next step; end slow start if there is a queue."""
        p, learned, limit = self._p, self._learned, window.limit
        # Slow start measures the base latency in haste: a probe follows one window later.
        learned.windows_since_probe = int(p.probe_interval) - 1
        self._confirm_base(window)
        if rise >= p.base_reset_rise or learned.unconfirmed:
            learned.slow_start, self._windows_without_queue = False, 0
            return min(limit, self._target(window))
        self._windows_without_queue += 1
        self._update_base(window)
        soon_done = p.slow_start_s * limit * math.exp(-window.log_latency)  # Little's law
        step = max(SLOW_START_MIN_STEP * limit, soon_done - limit)
        return limit + min(max(p.slow_start_calls, limit), step)

    def _after_steady_window(self, window: SampleWindow, rise: float) -> float:
        """Return the limit of the formula; resume slow start after windows without a queue."""
        learned = self._learned
        if self._has_sped_up(window):
            learned.ceiling = NO_CEILING  # the capacity at which calls failed is no more
            forget_probes(learned)
        if self._has_fallen_in_vain(window):
            forget_probes(learned)
            self._update_base(window)
            rise = window.log_latency - learned.base_log_latency
        if rise < self._p.no_queue_rise:
            self._windows_without_queue += 1
            self._update_base(window)
            learned.slow_start = self._windows_without_queue >= SLOW_START_WINDOWS
        else:
            self._windows_without_queue = 0
        return self._toward_target(window, self._p.smoothing)

    def _begin_probe(self, window: SampleWindow, rise: float) -> float:
        """Return the limit of a probe: low enough to relieve the part of a rise that is certain.

        The steeper latency rises with the limit, the shallower is a probe that does so. A steepness
        that the spread of latencies does not explain is chance, or the capacity has fallen: that
        asks for a deep probe.
        """
        learned = self._learned
        self.above_probe = window
        learned.windows_since_probe = self._windows_without_queue = 0
        certain = rise - self._p.deviation_scale * self._error(window)
        relieving = math.exp(-certain / min(self._steepness.value, math.exp(learned.variance)))
        shallowest = FIRST_PROBE_FACTOR if learned.unconfirmed else self._p.probe_factor
        factor = max(PROBE_MIN_FACTOR, min(shallowest, relieving))
        return min(window.limit - 1.0, window.limit * factor)

    def _end_probe(self, window: SampleWindow, above: SampleWindow) -> float:
        """Return the limit after a probe.

        Its latency is the base, unless calls still queue; then another probe follows.
        """
        learned = self._learned
        rise = window.log_latency - learned.base_log_latency
        if learned.unconfirmed:
            # Far below the base: it had a queue in it, and the probe may have one, too.
            learned.unconfirmed = rise < -self._p.base_reset_rise and window.limit > 2
            if learned.unconfirmed:
                self.probe_soon()
        excess, error = excess_relief(window, above), self._error(window)
        queues = add_probe(learned, excess, error)
        if self._ceiling.was_met:  # failures bound the limit, too: a low base would cost more
            queues = excess > error
        if rise <= 0 or not queues:
            self._update_base(window)
        elif rise >= self._p.base_reset_rise:
            learned.windows_since_probe = int(self._p.probe_interval) - 1
        return max(window.limit, self._toward_target(above))

    def _error(self, window: SampleWindow) -> float:
        """Return the standard error of a window's rise."""
        calls = 1 / (1 / window.succeeded + 1 / max(1.0, self._learned.base_calls))
        return math.sqrt(self._learned.variance / calls)

    def _target(self, window: SampleWindow) -> float:
        """Return the limit a little above the knee that a window implies."""
        rise = window.log_latency - self._learned.base_log_latency
        rise -= self._p.deviation_scale * self._error(window)
        return window.limit * math.exp(-rise) * self._p.headroom + self._p.queue_size

    def _toward_target(self, window: SampleWindow, smoothing: float = 1.0) -> float:
        """Return the limit after a step to a window's target: shorter where latency is steep.

        From a limit of one the step is not shortened. A limit below two still means one call, and
        the next step would begin at one.
        """
        target = self._target(window)
        if window.limit == 1:
            return target
        return window.limit * math.pow(target / window.limit, smoothing / self._steepness.value)

    def _confirm_base(self, window: SampleWindow) -> None:
        """Compare a window of slow start with the first: does latency grow with the limit?

        Then already the first window may have queued, and the base latency is too high.
        """
        first = self._slow_start_window = self._slow_start_window or window
        growth = max(0.0, math.log(window.limit / first.limit))
        rise = window.log_latency - first.log_latency
        self._learned.unconfirmed = rise > BASE_CONFIRMED * growth

    def _has_sped_up(self, window: SampleWindow) -> bool:
        """Return whether latency has fallen since the last window, by much more than the limit."""
        last, self._last_window = self._last_window, window
        if not last:
            return False
        reduction = max(0.0, math.log(last.limit / window.limit))
        least = self._p.base_reset_rise + CEILING_ERRORS * self._error(window)
        return last.log_latency - window.log_latency > least + reduction

    def _has_fallen_in_vain(self, window: SampleWindow) -> bool:
        """Return whether the limit has fallen as far as in a deep probe, and latency much less.

        Then the base is too low, because the work has become slower. If latency has risen
        meanwhile, something else has changed: this window becomes the reference.
        """
        above, error = self._before_fall, self._error(window)
        has_risen = (
            above is not None and window.log_latency - above.log_latency > FALL_RISE_ERRORS * error
        )
        if not above or window.limit >= above.limit or has_risen:
            self._before_fall = window
            return False
        if window.limit > FALL_FACTOR * above.limit:
            return False
        self._before_fall = window
        return excess_relief(window, above) <= error

    def _update_base(self, window: SampleWindow) -> None:
        """Average a window into the base latency, or replace a base that differs a lot.

        The few calls of a window of slow start only average: at a higher limit a much lower latency
        is chance.
        """
        p, learned = self._p, self._learned
        difference = window.log_latency - learned.base_log_latency
        most = p.base_reset_rise + BASE_RESET_ERRORS * self._error(window)
        averages = learned.slow_start or abs(difference) <= most
        known = learned.base_calls if averages else 0.0
        learned.base_log_latency += difference * window.succeeded / (known + window.succeeded)
        learned.base_calls = min(p.base_memory, known + window.succeeded)
