"""Every number that decides how the adaptive limiter behaves, with its unit and its effect.

``Parameters`` are the numbers that ``python -m bench.evolve`` searches within safe bounds; their
defaults are those of ``bench/evolve/adopted.json``. The constants after them are fixed.

Terms: a *window* is a sample of calls sent at one limit. The *base latency* is the latency without
a queue. A *rise* is ln(latency / base latency): 0.1 is about 10 %. "* limit" is a multiple of the
limit.
"""

from dataclasses import dataclass, field
from typing import Any, Final


def bounded(default: float, low: float, high: float, unit: str) -> Any:
    """Declare a number; its field's ``metadata`` has the safe bounds ``low``, ``high`` and unit."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit})


@dataclass(frozen=True, slots=True)
class Parameters:
    """The numbers that a search may change: default, lowest and highest safe value, unit."""

    # Slow start
    initial_limit: float = bounded(10, 2, 16, "calls")
    """The limit of a first run. Higher: a faster start, a larger burst on a small legacy."""
    slow_start_calls: float = bounded(20, 10, 200, "calls")
    """Most calls that one step adds; at a higher limit a step may add as many as the limit."""
    slow_start_s: float = bounded(1.0552, 0.1, 2, "s")
    """A step leads to no more calls in flight than the current throughput completes in it."""

    # The limit in the steady state
    headroom: float = bounded(1.29179, 1, 1.5, "factor")
    """The limit's excess over the knee. Higher: no idle worker, a longer queue."""
    queue_size: float = bounded(1.58544, 0.5, 3, "calls")
    """Calls added to the limit: they matter where the knee is a handful."""
    smoothing: float = bounded(0.600353, 0.2, 1, "exponent")
    """The part of the distance to the target that one window covers, if latency is not steep."""
    deviation_scale: float = bounded(1.59656, 0, 2, "standard errors")
    """A rise within so many standard errors is chance. Higher: more tolerance, later reaction."""
    no_queue_rise: float = bounded(0.0184873, 0, 0.2, "rise")
    """Below this rise there is no queue: the base latency is updated, and slow start may resume."""
    congestion_rise: float = bounded(1.32094, 0.3, 2, "rise")
    """Above this rise a probe starts at once."""

    # The base latency and the probes that check it
    base_reset_rise: float = bounded(0.446746, 0.1, 1, "rise")
    """A measured base latency that differs by more replaces the old one; others are averaged."""
    base_memory: float = bounded(100, 20, 1000, "calls")
    """Weight of the base latency in that average. Higher: steadier, slower to follow."""
    probe_factor: float = bounded(0.879871, 0.7, 0.95, "* limit")
    """The limit of a regular probe. Lower: a clearer answer, more throughput lost."""
    probe_interval: float = bounded(9, 2, 20, "windows")
    """Windows between two probes. A fraction delays the probe after slow start by a window."""

    # The size of a window
    window_error: float = bounded(0.0345361, 0.03, 0.2, "rise")
    """Standard error that a window's latency should have. Lower: larger, slower windows."""
    window_rounds: float = bounded(3.15681, 2, 12, "* limit")
    """Most calls of a window, as a multiple of the limit."""
    window_calls: float = bounded(159.23, 50, 400, "calls")
    """Most calls of a window, unless the limit itself is higher."""

    # Failures
    initial_background: float = bounded(0.0152339, 0.005, 0.05, "share of calls")
    """Share of failures expected whatever the load, before any has been measured."""
    max_background: float = bounded(0.171278, 0.1, 0.3, "share of calls")
    """Failures above this share are load, unless they continue with one call in flight."""
    ceiling_factor: float = bounded(0.860513, 0.7, 1, "* limit")
    """The ceiling that is set below a limit at which calls failed."""
    failure_deviations: float = bounded(2.5, 2, 4, "standard deviations")
    """Excess over the background that leads to a cut. Higher: later cuts, fewer false ones."""
    outage_probe_s: float = bounded(1.5, 1, 10, "s")
    """Time between the first calls that are sent into an outage."""

    # Rate limits
    rate_margin: float = bounded(0.993618, 0.9, 1, "factor")
    """Calls are paced at the learned rate times this."""
    rate_doubling_pauses: float = bounded(120, 10, 600, "pauses")
    """The paced rate doubles in this number of pauses. Higher: fewer refusals, slower to follow."""
    rate_trust: float = bounded(30, 3, 100, "factor")
    """The same as a multiple of the time in which the rate was learned; the shorter one counts."""


# Clock and latencies
MIN_LATENCY_S: Final = 1e-4  # s; a shorter latency counts as this one: its logarithm is finite
MAX_LATENCY_S: Final = 1e4  # s; a longer latency counts as this one
MAX_WAIT_S: Final = 300.0  # s; no wait for the next call is longer, whatever Retry-After says
MIN_PAUSE_S: Final = 0.1  # s; shortest pause after a Retry-After
CLOCK_ROUNDING_S: Final = 1e-6  # s; added to a computed start: rounding never places it too early
SAME_INSTANT_S: Final = 2e-6  # s; calls sent within it were sent together
RESERVED_SLOTS: Final = 2  # * limit; most slots that fast failures keep occupied
RESERVED_LATENCIES: Final = 2  # * recent latency; longest reservation, if the base is too high
FIRST_LATENCY_S: Final = 1.0  # s; longest recent latency before the first success of a run
RECENT_WEIGHT: Final = 0.2  # weight of the newest success in the recent latency

# Windows
WINDOW_MIN_CALLS: Final = 8  # calls; smallest window in the steady state
WINDOW_FULL: Final = 0.8  # * limit; a call sent with fewer in flight is not sampled
WINDOW_COMPLETE: Final = 0.8  # share of its calls; the slowest fifth is not awaited
WINDOW_PATIENCE: Final = 10  # * its calls; once as many later calls have ended, none is awaited
WINDOW_SUCCESSES: Final = 0.25  # share of its calls; fewer successes show nothing of latency
WINDOW_FEW_SUCCESSES: Final = 2  # calls; as few successes show nothing either
VARIANCE_WEIGHT: Final = 0.3  # weight of the newest window in the average variance

# Slow start
SLOW_START_FULL: Final = 0.6  # * limit; the same in slow start, whose step opens call by call
SLOW_START_WINDOW: Final = 0.36  # * limit; calls of a window: the last two fifths of a step
SLOW_START_MIN_CALLS: Final = 4.0  # calls; smallest window in slow start
SLOW_START_MIN_STEP: Final = 0.5  # * limit; calls that a step adds if slow_start_s allows fewer
SLOW_START_WINDOWS: Final = 2  # windows in a row without a queue; then slow start resumes

# Steepness
STEEPNESS_KEPT: Final = 0.95  # factor; weight of earlier windows after each new one
STEEPNESS_PRIOR: Final = 0.03  # squared change of ln(limit); evidence for a steepness of 1
STEEPNESS_MAX: Final = 4.0  # a larger one counts as this one

# Probes
PROBE_MIN_FACTOR: Final = 0.4  # * limit; limit of the deepest probe
BASE_RESET_ERRORS: Final = 0.5  # standard errors; added to base_reset_rise
QUEUE_RELIEF: Final = 0.6  # share of the limit's log reduction; if latency falls more: a queue
EVIDENCE_KEPT: Final = 0.9  # factor; weight of earlier probes after each new one
EVIDENCE_CONTRADICTED: Final = 2  # standard errors; a probe that far off replaces them
FIRST_PROBE_FACTOR: Final = 0.5  # * limit; limit of a probe of an unconfirmed base latency
BASE_CONFIRMED: Final = 0.6  # share of the limit's log growth; a larger rise: unconfirmed
FALL_FACTOR: Final = 0.6  # * limit; a fall of the limit this deep shows as much as a probe
FALL_RISE_ERRORS: Final = 2  # standard errors; a larger rise meanwhile has another cause

# Ceiling
NO_CEILING: Final = 1e6  # calls; a ceiling this high limits nothing
CEILING_GROWTH: Final = 1.02  # factor of the ceiling in each window
CEILING_WINDOWS: Final = 8  # windows; in them the ceiling regains the limit at which calls failed
CEILING_NEAR: Final = 1.25  # factor; a ceiling that differs by less is the same again
CEILING_PATIENCE: Final = 4  # factor; growth of a ceiling that was met again is no slower
CEILING_GROWTH_AGE: Final = 0.003  # added to the factor, * (windows after these)²
CEILING_FORGOTTEN: Final = 1.05  # growth in each window of the last ceiling, once there is none
CEILING_ERRORS: Final = 1.5  # standard errors; part of the fall of latency that lifts it
CEILING_GROWTH_STEP: Final = 0.1  # added to it for each window in a row without a queue

# Failures
CUT_MIN_FAILURES: Final = 5  # calls; as few failures never lead to a cut
CUT_SPARE_FAILURES: Final = 1  # calls; added to the failures that chance explains
CUT_MIN_FACTOR: Final = 0.5  # * limit; deepest single cut
CUT_MAX_FACTOR: Final = 0.85  # * limit; smallest single cut
CUT_FLOOR: Final = 0.3  # * limit before the cut; failures of earlier calls cut no further
CUT_MIN_LIMIT: Final = 2  # calls; below it a cut shows nothing more
NOISE_CALLS: Final = 50  # calls after a cut; then it is decided whether failures are noise
NOISE_CUT_ROUNDS: Final = 8  # * limit; fewer calls decide at a limit of some calls
NOISE_MIN_CALLS: Final = 16  # calls, at least
NOISE_NEARNESS: Final = 0.75  # part of the way from the share that load explains to noise's
NOISE_MAX_SHARE: Final = 0.7  # share of failures before a cut; above it noise is not looked for
NOISE_ROUNDS: Final = 2  # * limit; calls, at least NOISE_CALLS, after which counts restart
NOISE_EVIDENCE: Final = 1.0  # ln(likelihood ratio); if noise is hardly more likely, it is load
NOISE_LOWEST: Final = 0.002  # share of failures; a lower one counts as this one
NOISE_HIGHEST: Final = 0.99  # share of failures; a higher one counts as this one
NOISE_TOLERANCE: Final = 1.5  # * background; a share below is not cut again
BACKGROUND_SPARE_FAILURES: Final = 2  # calls; added to those after a cut, to bound the background
BACKGROUND_MARGIN: Final = 2  # * observed share; a background above it and the maximum falls

# Outages
OUTAGE_MIN_FAILURES: Final = 6  # calls that fail in a row; fewer are no outage
OUTAGE_ROUNDS: Final = 0.5  # * limit; the same at a limit above 12
OUTAGE_CHANCE: Final = 1e-8  # probability of as many background failures in a row; no outage yet
OUTAGE_PROBE_GROWTH: Final = 1.05  # factor; each outage probe waits longer than the last
OUTAGE_PROBE_MAX_S: Final = 15.0  # s; longest wait between outage probes
RESUME_FACTOR: Final = 0.9  # * limit; where calls resume after an outage
RESUME_FACTOR_AGAIN: Final = 0.5  # * limit; the same soon after an outage

# Rate limits
IDLE_S: Final = 1  # s; a longer time without a call begins a new interval
IDLE_SLOTS: Final = 3  # calls at the learned rate; their time is added to IDLE_S
CATCH_UP_SLOTS: Final = 2  # calls; most unused slots that are caught up
RATE_GROWTH_EXPONENT: Final = 3  # doublings of the rate = (time / doubling time) ** this
MAX_DOUBLINGS: Final = 64.0  # doublings; the paced rate grows no further
MAX_SLOT_S: Final = 10.0  # s; longest time between two calls, however low the learned rate is
MIN_INTERVAL_S: Final = 0.05  # s; a shorter interval counts as this one
GUESS_PEAK: Final = 0.6  # * admitted rate; bound of the first guess
GUESS_SCALE: Final = 2.0  # calls / (GUESS_S + interval) * this: a burst lasts 0.5 s or more
GUESS_S: Final = 1  # s; see GUESS_SCALE
GUESS_DOUBLING_S: Final = 10.0  # s; a guessed rate doubles in this time
RATE_KEEP: Final = 0.8  # * rate; one interval lowers the rate no further
REFILL_SHARE: Final = 0.8  # part of the tokens added in a pause that is used right after it
TRUST_PAUSES: Final = 2  # pauses; a rate learned from n calls doubles in n * this, or later
TRIAL_CALLS: Final = 4  # calls at the learned rate; a pause of fewer makes trials more frequent
LIFTED_FACTOR: Final = 1.05  # * learned rate; calls above it are counted
LIFTED_CALLS: Final = 8  # calls; after as many and the learned burst, the limit was lifted
LIFTED_SPEED: Final = 30  # factor; the paced rate then doubles so much sooner
LIFTED_SLOTS: Final = 15  # calls at the paced rate; but not in less than their time
SEND_LOG_SIZE: Final = 256  # entries; above it every other one is dropped
SURPRISE_AGE: Final = 0.21  # * rate_doubling_s; by then the pace has grown by 1 - rate_margin
SURPRISE_CALLS: Final = 4  # calls at the learned rate; their time, if that is longer
FRACTION_MIN_CALLS: Final = 20  # calls; of fewer a token is a large part
BISECTIONS: Final = 40  # halvings of the range of a rate
MIN_DOUBLING_PAUSE_S: Final = 1.0  # s; a shorter pause counts as this one for rate_doubling_pauses

# Whom a Retry-After concerns
EARLY_CALL_MIN_PAUSE_S: Final = 1.0  # s; in a shorter pause no call is sent early
EARLY_CALL_S: Final = (
    1.0  # s; the early call is sent so long after the pause began, or in its middle
)
SURPRISES: Final = 3  # pauses; after as many that do not concern all calls, the rate does not count
LONG_PAUSE_S: Final = 60.0  # s; so late in a longer pause one call checks it
EARLY_CALL_MAX_SKIPPED: Final = 5  # pauses; most in a row without an early call
NARROW_CALLS: Final = 12  # calls; as many show whether most are refused
NARROW_MAX_SHARE: Final = 0.5  # share of refused calls; above it all calls are concerned
NARROW_LOAD_SHARE: Final = 0.15  # share of refused calls; with fewer, load is no reason to end it
NARROW_PATIENCE: Final = 4.0  # * recent latency; a shorter row of failures is no outage
NARROW_RATE_FACTOR: Final = 4.0  # * learned rate; the pace of the first calls
NARROW_TRUSTED_CALLS: Final = 200  # calls; after them the next wide time is short again
WIDE_MIN_S: Final = 30.0  # s; how long refusals are taken for ones of all calls, the first time
WIDE_MIN_PAUSES: Final = 4  # pauses; the same
WIDE_GROWTH: Final = 2.0  # factor of that time, each time
WIDE_MAX_S: Final = 600.0  # s; its longest
