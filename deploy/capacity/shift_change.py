"""Simulate a shift change in slices of time: phones, API Gateway, Lambda, the table.

    phones ──▶ bucket of API Gateway ──▶ environments of intake ──▶ partitions of the table
      ▲                 │ 503                   │ 503                       │ 503
      └── Retry-After and jitter of their own ──┴───────────────────────────┘

A slice is as long as an environment needs for one request by Lambda's count, so in each slice an
environment serves one request. Phones are counted in groups by how often they were refused. A web
app's phone sends a CORS preflight first, which takes the same way as far as the table. The same
seed gives the same result. ``facts`` has the limits and their sources.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from deploy.capacity.facts import limit, measured
from deploy.capacity.lots import remove, spread, take
from deploy.capacity.replication import Integration, Replication
from deploy.capacity.table import Table

# 10 requests a second and environment.
SLICE_S = 0.1
_RETRY_AFTER_S = 2.0
# The jitter that a phone adds: at first up to 2 s, twice as much after each further refusal.
_FIRST_JITTER_S = 2.0
_MAX_JITTER_S = 30.0
# An intake whose put is throttled tries again after up to 1 s, and then after up to 2 s.
_PUT_RETRIES_S = (1.0, 2.0)
# Phones that are not accepted by then never will be.
_LONGEST_S = 1_200.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is reserved, and for what the table and the API are prepared.

    Attributes:
        reserved: the reserved concurrency of intake.
        warm: environments of intake that are warm before the first punch.
        warm_writes: writes a second for which the table is warm.
        gateway_per_s, gateway_burst: the throttling of API Gateway.
        tick_s: when the schedules start, after the first punch.
        replicators: runs of the replicator that start each minute.
        legacy_per_s: records a second that the legacy takes.
        jitter: whether phones add jitter to Retry-After.
        preflights: whether the phones use a web app, which sends a CORS preflight before a punch.
        cold_start_s: how long a request waits that starts an environment.
    """

    reserved: int
    warm_writes: int
    warm: int = 0
    gateway_per_s: float = 10_000
    gateway_burst: int = 5_000
    tick_s: float = 5.0
    replicators: int = 1
    legacy_per_s: float = 200.0
    jitter: bool = True
    preflights: bool = False
    cold_start_s: float = measured("cold start of intake")


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a shift change. ``environments`` and ``buffered`` are those at its end.

    ``offered`` and ``refused`` count preflights, too.
    """

    offered: int
    accepted: int
    refused: int
    environments: int
    buffered: int
    throttled_puts: int


@dataclass(slots=True)
class ShiftChange:
    """The result. Times are in seconds after the first punch."""

    accepted_in_s: float = 0.0
    replicated_in_s: float = 0.0
    integrated_in_s: float = 0.0
    refused: int = 0
    most_refusals: int = 0
    environments: int = 0
    accepted: int = 0
    replicated: int = 0
    integrated: int = 0
    seconds: list[Second] = field(default_factory=list)


def simulate(punches: int, seconds: float, deployment: Deployment, seed: int = 1) -> ShiftChange:
    """Simulate phones that send ``punches`` within ``seconds``, until all are integrated."""
    return _Simulation(punches, seconds, deployment, Random(seed)).run()  # noqa: S311 - no secret


class _Lambda:
    """The environments of intake, and the requests that occupy them."""

    def __init__(self, deployment: Deployment) -> None:
        self._reserved = deployment.reserved
        self._cold_slices = round(deployment.cold_start_s / SLICE_S)
        self._max_starts = limit("Lambda, new environments at once")
        self._starts = float(self._max_starts)
        self._starts_per_slice = limit("Lambda, new environments a second") * SLICE_S
        self.environments = self.idle = min(deployment.warm, deployment.reserved)

    def refill(self) -> None:
        """Let one slice pass."""
        self._starts = min(self._starts + self._starts_per_slice, self._max_starts)

    def admit(self, requests: int) -> tuple[int, int]:
        """Return how many requests warm environments serve now, and how many start a new one."""
        served = min(requests, self.idle)
        room = self._reserved - self.environments
        started = max(min(requests - served, room, int(self._starts)), 0)
        self._starts -= started
        self.environments += started
        return served, started

    @property
    def cold_slices(self) -> int:
        """How many slices later a new environment has served its request."""
        return self._cold_slices


class _Group(NamedTuple):
    """Phones that were refused this often, and what they send next."""

    refusals: int
    sends_preflight: bool


# Phones of a slice: how many there are of each group.
_Phones = dict[_Group, int]


class _Simulation:
    def __init__(self, punches: int, seconds: float, deployment: Deployment, rng: Random) -> None:
        self._deployment = deployment
        self._punches = punches
        self._rng = rng
        self._phones: defaultdict[int, Counter[_Group]] = defaultdict(Counter)
        first = _Group(0, deployment.preflights)
        for slot, count in enumerate(spread(punches, round(seconds / SLICE_S), rng)):
            self._phones[slot][first] += count
        # Puts that environments make in a later slice, by the number of throttled attempts.
        self._puts: defaultdict[int, list[tuple[int, _Phones]]] = defaultdict(list)
        self._table = Table(deployment.warm_writes, rng)
        self._lambda = _Lambda(deployment)
        self._gateway = float(deployment.gateway_burst)
        self._replication = Replication(self._table, deployment.tick_s, rng, deployment.replicators)
        self._integration = Integration(deployment.legacy_per_s, deployment.tick_s)
        self._result = ShiftChange()
        self._second = Counter[str]()
        self._slot = 0

    def run(self) -> ShiftChange:
        """Run until every punch is integrated."""
        result = self._result
        while self._integration.integrated < self._punches:
            now_s = (self._slot + 1) * SLICE_S  # the end of the slice
            if now_s > _LONGEST_S and result.accepted < self._punches:
                raise RuntimeError("The shift change does not end. Raise a limit of Deployment.")
            self._step(now_s)
            if result.accepted < self._punches:
                result.accepted_in_s = now_s
            if self._replication.replicated < self._punches:
                result.replicated_in_s = now_s
            self._slot += 1
            if self._slot % round(1 / SLICE_S) == 0:
                self._close_second()
            result.integrated_in_s = now_s
        # The last punch was handled in the slice after the last one without it.
        result.accepted_in_s += SLICE_S
        result.replicated_in_s += SLICE_S
        result.replicated = self._replication.replicated
        result.integrated = self._integration.integrated
        return result

    def _step(self, now_s: float) -> None:
        self._table.refill(SLICE_S)
        self._lambda.refill()
        self._gateway = min(
            self._gateway + self._deployment.gateway_per_s * SLICE_S,
            self._deployment.gateway_burst,
        )
        # Puts and deletes meet at the table in any order.
        deletes_first = self._rng.random() < 0.5
        moved = self._replication.step(now_s, SLICE_S) if deletes_first else 0
        self._receive()
        # Afterwards: by Lambda's count an environment serves one request in a slice.
        self._finish_puts()
        moved += 0 if deletes_first else self._replication.step(now_s, SLICE_S)
        self._integration.step(now_s, SLICE_S, moved)
        self._result.environments = max(self._result.environments, self._lambda.environments)

    def _receive(self) -> None:
        """Let the phones of this slice send their preflights and punches."""
        phones: _Phones = self._phones.pop(self._slot, Counter())
        arrived = sum(phones.values())
        self._second["offered"] += arrived
        admitted = min(arrived, int(self._gateway))
        self._gateway -= admitted
        served, started = self._lambda.admit(admitted)
        warm = take(phones, served)
        cold = take(remove(phones, warm), started)
        if cold:
            self._puts[self._slot + self._lambda.cold_slices].append((0, cold))
        self._put(0, warm)
        self._refuse(remove(remove(phones, warm), cold))

    def _finish_puts(self) -> None:
        """Make the puts of requests that have waited in an environment, and free it."""
        for throttled, phones in self._puts.pop(self._slot, []):
            self._lambda.idle += sum(phones.values())
            self._put(throttled, phones)

    def _put(self, throttled: int, phones: _Phones) -> None:
        """Put the punches of these phones into the table, after this many throttled attempts.

        Preflights end here: their phones send the punch at once.
        """
        for group, count in phones.items():
            if group.sends_preflight:
                follows = group._replace(sends_preflight=False)
                self._phones[self._slot + 1][follows] += count
        phones = {each: phones[each] for each in phones if not each.sends_preflight}
        asked = sum(phones.values())
        stored = self._table.write(asked)
        self._result.accepted += stored
        self._second["accepted"] += stored
        self._second["throttled_puts"] += asked - stored
        self._replication.accept(stored)
        failed = remove(phones, take(phones, stored))
        if not failed:
            return
        if throttled == len(_PUT_RETRIES_S):
            self._refuse(failed)
            return
        slots = round(_PUT_RETRIES_S[throttled] / SLICE_S)
        self._lambda.idle -= sum(failed.values())
        for group, count in failed.items():
            for later, again in enumerate(spread(count, slots, self._rng), self._slot + 1):
                if again:
                    self._puts[later].append((throttled + 1, {group: again}))

    def _refuse(self, phones: _Phones) -> None:
        """Answer 503; the phones come again after Retry-After and their jitter."""
        first = self._slot + round(_RETRY_AFTER_S / SLICE_S)
        for group, count in phones.items():
            refusals = group.refusals + 1
            self._result.refused += count
            self._second["refused"] += count
            self._result.most_refusals = max(self._result.most_refusals, refusals)
            jitter_s = min(_FIRST_JITTER_S * 2 ** min(group.refusals, 10), _MAX_JITTER_S)
            slots = round(jitter_s / SLICE_S) if self._deployment.jitter else 1
            for later, again in enumerate(spread(count, slots, self._rng), first):
                if again:
                    self._phones[later][group._replace(refusals=refusals)] += again

    def _close_second(self) -> None:
        self._result.seconds.append(
            Second(
                environments=self._lambda.environments,
                buffered=self._replication.buffered,
                **{
                    name: self._second[name]
                    for name in ("offered", "accepted", "refused", "throttled_puts")
                },
            )
        )
        self._second.clear()
