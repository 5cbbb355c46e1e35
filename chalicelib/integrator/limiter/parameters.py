"""The numbers of the adaptive limit: those it is given and those it learns, with safe bounds."""

from dataclasses import asdict, dataclass, field, fields
from math import isfinite, log
from typing import Any

SHORTEST_S, LONGEST_S = 1e-4, 1e4  # latencies are taken for no shorter and no longer


def within(default: float, low: float, high: float) -> Any:
    """Declare a number; its safe bounds are in its field's ``metadata`` as ``low`` and ``high``."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is given. Factors are of the limit, latencies logarithms (0.1 is some 10 %)."""

    first_limit: float = within(8.38221, 2, 16)  # calls; where a first run begins
    leap: float = within(
        37.9474, 20, 200
    )  # calls that a leap adds at most; or as many as there are
    leap_s: float = within(1.0552, 0.1, 2)  # s in which a leap's calls are done at the pace so far
    headroom: float = within(1.29179, 1, 1.5)  # factor over the knee: no worker waits for a call
    spare_calls: float = within(1.58544, 0.5, 3)  # calls on top: much where the knee is a handful
    gain: float = within(0.600353, 0.2, 1)  # part of the way to the knee that is gone at once
    doubt: float = within(1.59656, 0, 2)  # standard errors by which chance may raise a latency
    free: float = within(0.0184873, 0, 0.2)  # latency over the floor that still means no queue
    congested: float = within(1.32094, 0.3, 2)  # latency over the floor that is looked into at once
    floor_jump: float = within(0.446746, 0.1, 1)  # latency; a floor this far off is replaced
    floor_memory: float = within(52.5679, 20, 1000)  # calls whose mean the floor is
    look: float = within(0.879871, 0.7, 0.95)  # factor of an ordinary look below
    patience: float = within(8.38948, 2, 20)  # cohorts between two looks
    precision: float = within(0.0345361, 0.03, 0.2)  # wanted standard error of a cohort's latency
    rounds: float = within(3.15681, 2, 12)  # limits worth of calls that a cohort may take
    most_calls: float = within(159.23, 50, 400)  # calls of the largest cohort at a smaller limit
    background: float = within(0.0152339, 0.005, 0.05)  # share of failures expected at first
    most_background: float = within(0.171278, 0.1, 0.3)  # share of failures; more is hardly noise
    under_ceiling: float = within(0.860513, 0.7, 1)  # factor of a limit that failed: kept under
    surprise: float = within(
        3.09346, 2, 4
    )  # standard deviations over the background that mean load
    probe_s: float = within(3.3037, 1, 10)  # s between two calls into an outage
    rate_margin: float = within(0.993618, 0.9, 1)  # factor of the learned rate
    rate_doubles: float = within(50.0699, 10, 600)  # pauses, 1 s at least, in which it doubles
    trust: float = within(63.934, 3, 100)  # times what it took to learn it, and the same at most


@dataclass(slots=True)
class Learned:
    """What is learned and goes from run to run. It holds durations but no instants."""

    limit: float = within(1, 1, 1e6)
    starting: float = within(1, 0, 1)  # 1: leaping
    floor: float = within(log(0.1), log(SHORTEST_S), log(LONGEST_S))  # log latency without a queue
    floor_calls: float = within(0, 0, 1e3)  # calls that it is the mean of
    variance: float = within(0.25, 0, 100)  # of a log latency
    background: float = within(0.02, 0, 1)  # share of calls that fail whatever the load
    ceiling: float = within(1e6, 1, 1e6)  # calls; kept under after failures
    outage: float = within(0, 0, 1)  # 1: under way
    rate: float = within(0, 0, 1e6)  # calls a second; 0: no refusal yet
    burst: float = within(-1, -1, 1e6)  # calls; less than 0: unknown, and the rate a guess
    calm_s: float = within(0, 0, 1e6)  # of sending since the rate was learned
    doubles_s: float = within(10, 0.1, 1e6)  # of sending, after which the rate has doubled
    silent_s: float = within(0, 0, 60)  # asked for and still to be waited

    def snapshot(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def restore(cls, state: object) -> "Learned | None":
        """Return what a snapshot holds, put into its bounds; None if it is no such snapshot."""
        learned = cls()
        for each in fields(cls):
            number = state.get(each.name) if isinstance(state, dict) else None
            if not isinstance(number, (int, float)) or not isfinite(number):
                return None
            setattr(
                learned, each.name, min(each.metadata["high"], max(each.metadata["low"], number))
            )
        return learned
