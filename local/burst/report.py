"""What a burst came to: the exact difference between what was acknowledged and what there is.

Arithmetic and the tables that show it; no I/O.
"""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from math import ceil

from rich.table import Table

from chalicelib.point_record import Status
from local.burst.load import Plan, Sent
from local.burst.progress import InReplica

_SHARES = (0.50, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Result:
    """A burst that is over.

    Attributes:
        at_legacy: how often the legacy accepted each id; None if it does not tell.
        waiting: accepted by the service, in one of its stores, and neither delivered nor parked.
        lost: accepted by the service, and in none of its stores, or said to be delivered and not at
            the legacy.
        doubled: replicated twice, delivered twice or accepted twice by the legacy.
    """

    plan: Plan
    sent: Sequence[Sent]
    in_replica: InReplica
    at_legacy: Counter[str] | None
    accepted: AbstractSet[str]
    waiting: AbstractSet[str]
    lost: AbstractSet[str]
    doubled: AbstractSet[str]

    @property
    def is_clean(self) -> bool:
        """Say whether every punch was accepted and came to its end, and none was doubled."""
        left = self.waiting or self.lost or self.doubled
        return len(self.accepted) == self.plan.punches and not left


def acknowledged(sent: Sequence[Sent]) -> set[str]:
    """Return the ids of all punches that the service has acknowledged."""
    return set(chain.from_iterable(each.accepted for each in sent))


def tally(
    plan: Plan,
    sent: Sequence[Sent],
    in_replica: InReplica,
    at_legacy: Counter[str] | None,
    nowhere: AbstractSet[str],
) -> Result:
    """Compare what the service acknowledged with what its stores and the legacy hold.

    ``nowhere`` are those of the acknowledged that are in no store.
    """
    accepted = acknowledged(sent)
    with_status = in_replica.with_status
    delivered = accepted & with_status(Status.INTEGRATED)
    lost = nowhere | (set() if at_legacy is None else delivered - at_legacy.keys())
    seen = accepted | in_replica.statuses.keys()
    twice = {record_id for record_id in seen if at_legacy and at_legacy[record_id] > 1}
    return Result(
        plan,
        sent,
        in_replica,
        at_legacy,
        accepted,
        waiting=accepted - delivered - with_status(Status.REJECTED) - lost,
        lost=lost,
        doubled=twice | in_replica.logged_twice,
    )


def stage_table(result: Result) -> Table:
    """Lay out when each stage was done, from the first punch on, and what was lost and doubled."""
    plan, in_replica = result.plan, result.in_replica
    statuses = Counter(in_replica.statuses.get(record_id) for record_id in result.accepted)
    replicated = statuses.total() - statuses[None]
    accepted_at = max((each.last_accepted_at for each in result.sent), default=0.0)
    stages = {
        "accepted in": (len(result.accepted), accepted_at),
        "replicated in": (replicated, in_replica.replicated_at),
        "integrated in": (statuses[Status.INTEGRATED], in_replica.integrated_at),
    }
    table = Table(title=f"{plan.punches:,} punches in {plan.seconds:g} s")
    for heading in ("calls", *stages, "lost", "doubled"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{plan.punches:,}",
        *(
            duration(at - plan.starts_at) if count == plan.punches else f"only {count:,}"
            for count, at in stages.values()
        ),
        f"{len(result.lost):,}",
        f"{len(result.doubled):,}",
    )
    return table


def details(result: Result) -> Table:
    """Lay out how the sending went and what is not as it should be."""
    plan, sent = result.plan, result.sent
    calls = sum(each.calls for each in sent)
    resent = sum(each.resent for each in sent)
    refused = sum(len(each.refused) for each in sent)
    parked = sum(status == Status.REJECTED for status in result.in_replica.statuses.values())
    answered_at = max((each.last_answer_at for each in sent), default=plan.starts_at)
    post_ms = list(chain.from_iterable(each.post_ms for each in sent))
    wait_ms = list(chain.from_iterable(each.wait_ms for each in sent))

    table = Table(show_header=False, box=None)
    again = calls - resent - len(result.accepted) - refused
    table.add_row("POSTs", f"{calls:,}: {again:,} again after a failure, {resent:,} on purpose")
    rate = len(post_ms) / max(answered_at - plan.starts_at, 1e-9)
    table.add_row("answered", f"{rate:,.0f}/s, {_percentiles(post_ms)}")
    table.add_row("punch to acceptance", _percentiles(wait_ms))
    if result.at_legacy is None:
        table.add_row("the legacy", "does not tell what it accepted")
    if parked:
        table.add_row("parked as REJECTED", f"{parked:,}")
    if result.waiting:
        table.add_row("waiting", _by_status(result))
    if refused:
        table.add_row(
            "refused", f"{refused:,}: {next(each.refusal for each in sent if each.refusal)}"
        )
    for heading, ids in (("lost", result.lost), ("doubled", result.doubled)):
        if ids:
            table.add_row(heading, ", ".join(sorted(ids)[:5]) + (" …" if len(ids) > 5 else ""))
    return table


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of the values do not exceed; 0 if there are none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else 0.0


def duration(seconds: float) -> str:
    """Write a duration as people say it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _by_status(result: Result) -> str:
    """Count what had not come to its end when nothing moved any more, by where it stands."""
    statuses = result.in_replica.statuses
    counts = Counter(statuses.get(each, "not replicated") for each in result.waiting)
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _percentiles(values: Sequence[float]) -> str:
    return ", ".join(
        f"p{share:.0%}".rstrip("%") + f" {percentile(values, share):,.0f} ms" for share in _SHARES
    )
