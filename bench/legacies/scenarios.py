"""Families of legacies; ``draw`` makes a member from a key, always the same one from the same key.

The names of the families seed the draws: a renamed family has other members.
"""

import math
from collections.abc import Callable

from bench.legacies.draws import Draw, Scenario, Schedule, duration, scheduled_pool, worker_pool
from bench.legacies.models import (
    BUSY,
    HANGS,
    NETWORK_S,
    REFUSED,
    Legacy,
    RateLimited,
    Response,
    Thrashing,
    ThreadPerConnection,
    WithOutages,
    WithRandomFailures,
    WithRefusedRecords,
    WorkerPool,
    lognormal,
    pareto,
    retry_after,
)


def _workers(name: str, draw: Draw) -> Scenario:
    """A worker pool with a short queue; 503 when the queue is full."""
    count, mean_s = draw.pool()
    return worker_pool(name, count, mean_s, draw.queue(count), draw.spread())


def _many(name: str, draw: Draw) -> Scenario:
    """Hundreds of workers, for a cold start at a high capacity."""
    count = round(draw.log(120, 400))
    queue = round(count * draw.uniform(0.15, 0.6))
    spread = lognormal(draw.uniform(0.2, 0.5))
    return worker_pool(name, count, draw.log(0.1, 0.3), queue, spread, duration_s=12.0)


def _silent(name: str, draw: Draw) -> Scenario:
    """Slow work behind a deep queue: no call is refused, but calls time out."""
    count, mean_s = round(draw.log(4, 30)), draw.uniform(0.8, 3.0)
    queue = round(count * draw.uniform(5, 25))
    return worker_pool(
        name, count, mean_s, queue, lognormal(draw.uniform(0.2, 0.6)), duration_s=120 + 60 * mean_s
    )


def _heavy(name: str, draw: Draw) -> Scenario:
    """Heavy-tailed service times."""
    count, mean_s = draw.pool(slowest_s=0.5)
    spread = pareto(draw.uniform(1.45, 1.9)) if draw.random() < 0.5 else lognormal(1.3)
    return worker_pool(name, count, mean_s, max(count, draw.queue(count)), spread)


def _noisy(name: str, draw: Draw) -> Scenario:
    """0.5 to 5 % of failures that do not depend on load."""
    inner, share = _workers(name, draw), draw.uniform(0.005, 0.05)
    return Scenario(
        name,
        inner.duration_s,
        lambda: WithRandomFailures(inner.build(), share, name),
        inner.best_limit,
    )


def _thrashing(name: str, draw: Draw) -> Scenario:
    """Throughput falls beyond the knee, and no call is refused."""
    knee, mean_s, contention = draw.log(6, 80), draw.log(0.03, 0.4), draw.uniform(0.0, 0.03)
    spread = lognormal(draw.uniform(0.2, 0.6))

    def build() -> Thrashing:
        return Thrashing(mean_s, knee, contention, name, spread)

    def rate(open_calls: int) -> float:
        return open_calls / (NETWORK_S + build().mean_s(open_calls - 1))

    best = max(range(1, 400), key=rate)
    return Scenario(name, duration(rate(best)), build, lambda _: best)


def _rated(name: str, draw: Draw) -> Scenario:
    """A rate limit: 429 with Retry-After beyond it."""
    rate, mean_s = draw.log(8, 150), draw.log(0.03, 0.4)
    burst = round(rate * draw.log(0.3, 2.0)) + 1
    pause_s = float(draw.choice([1, 1, 2, 5]))
    spread = lognormal(draw.uniform(0.2, 0.5))

    def build() -> Legacy:
        inner = WorkerPool(max(8, int(rate * mean_s * 8)), mean_s, 400, name, spread)
        return RateLimited(inner, rate, burst, pause_s)

    best = 1 + 3 * rate * (mean_s + NETWORK_S)
    return Scenario(
        name, duration(rate, 60.0), build, lambda _: best, rate=rate, burst=float(burst)
    )


def _stepping(name: str, draw: Draw) -> Scenario:
    """Capacity steps up or down three- to fivefold for a while."""
    count, mean_s = draw.pool(most=30, slowest_s=0.6, fastest=80)
    factor = draw.choice([3, 4, 5])
    counts = draw.choice([(1, factor, 1), (factor, 1, factor)])
    schedule = [(30.0 * n, count * each, mean_s) for n, each in enumerate(counts)]
    return scheduled_pool(name, schedule, draw.queue(count), draw.spread(), 90.0)


def _slower(name: str, draw: Draw) -> Scenario:
    """The work itself takes two to five times as long for a while; the best limit is unchanged."""
    count, mean_s = draw.pool(slowest_s=0.5, fastest=150)
    schedule = [
        (0.0, count, mean_s),
        (30.0, count, mean_s * draw.uniform(2, 5)),
        (60.0, count, mean_s),
    ]
    return scheduled_pool(name, schedule, draw.queue(count), draw.spread(), 90.0)


def _shared(name: str, draw: Draw) -> Scenario:
    """Other clients take a share of the workers, which changes abruptly."""
    count, mean_s = draw.pool(least=12, slowest_s=0.5, fastest=150)
    low, high, stay_s = draw.uniform(0, 0.3), draw.uniform(0.5, 0.85), draw.log(6, 40)
    schedule: Schedule = []
    at = 0.0
    while at < 100.0:
        schedule.append((at, max(1, round(count * (1 - draw.uniform(low, high)))), mean_s))
        at += max(2.0, draw.expovariate(1 / stay_s))
    return scheduled_pool(name, schedule, draw.queue(count), draw.spread(), 100.0)


def _drifting(name: str, draw: Draw) -> Scenario:
    """Capacity and speed drift, a little each second."""
    count, mean_s = draw.pool(least=10, slowest_s=0.5, fastest=150)
    depth, slows = draw.uniform(0.2, 0.6), draw.uniform(0.0, 0.5)
    turn_s, phase = draw.log(30, 120), draw.uniform(0, math.tau)
    schedule: Schedule = []
    for second in range(90):
        wave = 0.5 + 0.5 * math.sin(math.tau * second / turn_s + phase)
        workers = max(1, round(count * (1 - depth * wave)))
        schedule.append((float(second), workers, mean_s * (1 + slows * wave)))
    return scheduled_pool(name, schedule, draw.queue(count), draw.spread(), 90.0)


def _outages(name: str, draw: Draw, responses: Callable[[Draw], Response]) -> Scenario:
    """Two outages in which each call gets the same response."""
    count, mean_s = draw.pool(slowest_s=0.6, fastest=120)
    first, second = draw.uniform(15, 35), draw.uniform(75, 90)
    outages = [(since, since + draw.uniform(10, 30), responses(draw)) for since in (first, second)]
    inner = worker_pool(name, count, mean_s, draw.queue(count), draw.spread(), duration_s=140.0)
    return Scenario(
        name,
        inner.duration_s,
        lambda: WithOutages(inner.build(), outages),
        inner.best_limit,
        lambda now: max(
            [until for since, until, _ in outages if since <= now < until], default=0.0
        ),
    )


def _failing(name: str, draw: Draw) -> Scenario:
    """Two outages; in each, calls fail at once or hang."""
    return _outages(name, draw, lambda draw: HANGS if draw.random() < 0.4 else BUSY)


def _away(name: str, draw: Draw) -> Scenario:
    """Two outages with 503 and Retry-After, as in maintenance."""
    return _outages(name, draw, lambda draw: retry_after(draw.choice([1.0, 2.0, 5.0, 10.0])))


def _gateway(name: str, draw: Draw) -> Scenario:
    """Two outages in which a gateway refuses every record, for instance with 404."""
    return _outages(name, draw, lambda _: REFUSED)


def _refusing(name: str, draw: Draw) -> Scenario:
    """A share of the records is refused at once."""
    count, mean_s = draw.pool()
    share = draw.uniform(0.05, 0.6)
    inner = worker_pool(name, count, mean_s, draw.queue(count), draw.spread())
    refused = count / mean_s * share / (1 - share) * REFUSED.latency_s  # in flight
    return Scenario(
        name,
        inner.duration_s,
        lambda: WithRefusedRecords(inner.build(), share, name),
        lambda now: math.ceil(inner.best_limit(now) + refused),
    )


def _troubled(name: str, draw: Draw) -> Scenario:
    """A fault loses many responses for a while; afterwards the work takes longer than before."""
    count, mean_s = draw.pool(slowest_s=0.4, fastest=150)
    since, until = draw.uniform(10, 20), draw.uniform(30, 45)
    share, during, after = draw.uniform(0.2, 0.6), draw.log(0.5, 3), draw.log(1, 6)
    schedule = [
        (0.0, count, mean_s),
        (since, count, mean_s * during),
        (until, count, mean_s * after),
    ]
    inner = scheduled_pool(name, schedule, draw.queue(count), draw.spread(), 90.0)
    return Scenario(
        name,
        inner.duration_s,
        lambda: WithRandomFailures(inner.build(), share, name, since, until),
        inner.best_limit,
    )


def _threads(name: str, draw: Draw) -> Scenario:
    """A thread for each kept connection: more calls in flight hang."""
    (count, mean_s), spread = draw.pool(most=60, slowest_s=0.6), draw.spread()
    return Scenario(
        name,
        duration(count / mean_s),
        lambda: ThreadPerConnection(count, mean_s, name, spread),
        lambda _: count,
    )


FAMILIES: dict[str, Callable[[str, Draw], Scenario]] = {
    "workers": _workers,
    "thrashing": _thrashing,
    "rated": _rated,
    "stepping": _stepping,
    "failing": _failing,
    "noisy": _noisy,
    "silent": _silent,
    "many": _many,
    "heavy": _heavy,
    "shared": _shared,
    "slower": _slower,
    "drifting": _drifting,
    "away": _away,
    "gateway": _gateway,
    "refusing": _refusing,
    "troubled": _troubled,
    "threads": _threads,
}


def draw(family: str, key: str) -> Scenario:
    """Draw a member of one of ``FAMILIES``."""
    name = f"{family}/{key}"
    return FAMILIES[family](name, Draw(name))
