"""Compare the accepted punches of a burst with the stored records, and show the result in tables.

No I/O.
"""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from math import ceil

from rich.table import Table

from chalicelib.point_record import Status
from local.burst.load import Plan, SendResult
from local.burst.progress import ReplicatedRecords

_SHARES = (0.50, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class BurstResult:
    """The outcome of a burst.

    Attributes:
        deliveries: how often the legacy accepted each id; None if it has no report.
        accepted: ids that the service accepted.
        waiting: accepted ids that a store has and that are neither delivered nor parked.
        lost: accepted ids that no store has, or that Postgres has as delivered and the legacy
            does not have.
        duplicated: ids that were replicated twice, delivered twice or accepted twice by the legacy.
    """

    plan: Plan
    sent: Sequence[SendResult]
    records: ReplicatedRecords
    deliveries: Counter[str] | None
    accepted: AbstractSet[str]
    waiting: AbstractSet[str]
    lost: AbstractSet[str]
    duplicated: AbstractSet[str]

    @property
    def is_clean(self) -> bool:
        """Return whether every punch was accepted, delivered or parked, and none was duplicated."""
        has_defect = self.waiting or self.lost or self.duplicated
        return len(self.accepted) == self.plan.punches and not has_defect


def accepted_ids(sent: Sequence[SendResult]) -> set[str]:
    """Return the ids of all punches that the service accepted."""
    return set(chain.from_iterable(each.accepted for each in sent))


def compare(
    plan: Plan,
    sent: Sequence[SendResult],
    records: ReplicatedRecords,
    deliveries: Counter[str] | None,
    missing: AbstractSet[str],
) -> BurstResult:
    """Compare the accepted punches with the records of the stores and the legacy.

    ``missing`` are the accepted ids that no store has.
    """
    accepted = accepted_ids(sent)
    with_status = records.with_status
    delivered = accepted & with_status(Status.INTEGRATED)
    lost = missing | (set() if deliveries is None else delivered - deliveries.keys())
    seen = accepted | records.statuses.keys()
    delivered_twice = {record_id for record_id in seen if deliveries and deliveries[record_id] > 1}
    return BurstResult(
        plan,
        sent,
        records,
        deliveries,
        accepted,
        waiting=accepted - delivered - with_status(Status.REJECTED) - lost,
        lost=lost,
        duplicated=delivered_twice | records.logged_twice,
    )


def stages(result: BurstResult) -> dict[str, tuple[int, float]]:
    """Return how many punches passed each stage, and the seconds from the first to the last."""
    records = result.records
    statuses = Counter(records.statuses.get(record_id) for record_id in result.accepted)
    accepted_at = max((each.last_accepted_at for each in result.sent), default=0.0)
    ends = {
        "accepted in": (len(result.accepted), accepted_at),
        "replicated in": (statuses.total() - statuses[None], records.replicated_at),
        "integrated in": (statuses[Status.INTEGRATED], records.integrated_at),
    }
    return {name: (count, at - result.plan.starts_at) for name, (count, at) in ends.items()}


def stage_table(result: BurstResult) -> Table:
    """Return a table of the time that each stage took since the first punch, and of the defects."""
    plan, ends = result.plan, stages(result)
    table = Table(title=f"{plan.punches:,} punches in {plan.seconds:g} s")
    for heading in ("calls", *ends, "lost", "duplicated"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{plan.punches:,}",
        *(
            format_duration(seconds) if count == plan.punches else f"only {count:,}"
            for count, seconds in ends.values()
        ),
        f"{len(result.lost):,}",
        f"{len(result.duplicated):,}",
    )
    return table


def details(result: BurstResult) -> Table:
    """Return a table of the calls, their latencies, and the ids of the defects."""
    plan, sent = result.plan, result.sent
    calls = sum(each.calls for each in sent)
    resent = sum(each.resent for each in sent)
    refused = sum(len(each.refused) for each in sent)
    parked = sum(status == Status.REJECTED for status in result.records.statuses.values())
    last_response_at = max((each.last_response_at for each in sent), default=plan.starts_at)
    post_ms = list(chain.from_iterable(each.post_ms for each in sent))
    wait_ms = list(chain.from_iterable(each.wait_ms for each in sent))

    table = Table(show_header=False, box=None)
    retries = calls - resent - len(result.accepted) - refused
    table.add_row(
        "POSTs", f"{calls:,}, of which {retries:,} retries and {resent:,} intended duplicates"
    )
    rate = len(post_ms) / max(last_response_at - plan.starts_at, 1e-9)
    table.add_row("responses", f"{rate:,.0f}/s, {_percentiles(post_ms)}")
    table.add_row("punch to acceptance", _percentiles(wait_ms))
    if result.deliveries is None:
        table.add_row("legacy", "has no report of what it accepted")
    if parked:
        table.add_row("parked as REJECTED", f"{parked:,}")
    if result.waiting:
        table.add_row("waiting", _by_status(result))
    if refused:
        table.add_row(
            "refused", f"{refused:,}: {next(each.refusal for each in sent if each.refusal)}"
        )
    for heading, ids in (("lost", result.lost), ("duplicated", result.duplicated)):
        if ids:
            table.add_row(heading, ", ".join(sorted(ids)[:5]) + (" …" if len(ids) > 5 else ""))
    return table


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: ``share`` of the values do not exceed it; 0 if none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else 0.0


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours, with one decimal."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _by_status(result: BurstResult) -> str:
    """Return the number of waiting records in each status."""
    statuses = result.records.statuses
    counts = Counter(statuses.get(each, "not replicated") for each in result.waiting)
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def _percentiles(values: Sequence[float]) -> str:
    return ", ".join(
        f"p{share:.0%}".rstrip("%") + f" {percentile(values, share):,.0f} ms" for share in _SHARES
    )
