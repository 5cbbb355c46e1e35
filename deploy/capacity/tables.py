"""Write the capacity model as the tables of docs/capacity.md."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from deploy.capacity.costs import monthly, optional
from deploy.capacity.facts import (
    LIMITS,
    MEASURED,
    checked,
    functions,
    limit,
    measured,
    prices,
    template,
)
from deploy.capacity.shift_change import Deployment, ShiftChange, simulate

SHIFT_S = 15.0
OFFERED = (5_000, 50_000, 100_000, 1_000_000)
# From a web app, with a preflight before each punch.
_FROM_WEB_APPS = (50_000, 100_000)
# Examples: records a second that the legacy takes. The true value is unknown before deployment.
_LEGACIES = (20.0, 50.0, 200.0)
# What a deployment must reach to be enough for a shift change.
_LATE_S = 5.0
_MAX_REFUSALS = 3


@dataclass(frozen=True, slots=True)
class Need:
    """What a shift change needs, so that no phone waits long.

    Attributes:
        quota: the quota of concurrent executions to ask AWS for, with those of all functions.
    """

    deployment: Deployment
    quota: int
    result: ShiftChange


def deployed() -> Deployment:
    """Return the deployment that ``.chalice`` describes."""
    resources = template()["Resources"]
    (throttling,) = [
        each
        for each in resources["RestAPI"]["Properties"]["MethodSettings"]
        if each["HttpMethod"] == "POST"
    ]
    throughput = resources["PointRecordTable"]["Properties"]["WarmThroughput"]
    return Deployment(
        reserved=functions()["intake"]["reserved_concurrency"],
        warm_writes=throughput["WriteUnitsPerSecond"],
        gateway_per_s=throttling["ThrottlingRateLimit"],
        gateway_burst=throttling["ThrottlingBurstLimit"],
        replicators=len(resources["Replicate"]["Properties"]["Events"]),
    )


def need(punches: int) -> Need:
    """Return the smallest reservation, in hundreds, with which a shift change is soon over.

    It is over if all are accepted within 5 s of the last punch and no phone is refused more than
    three times. Environments must be warm before only where no reservation without them is enough.
    """
    rate = punches / SHIFT_S / limit("Lambda, requests a second and environment")
    first = _up(rate, 100)
    # Lambda starts no more than this in time.
    startable = limit("Lambda, new environments at once") + (SHIFT_S + _LATE_S) * limit(
        "Lambda, new environments a second"
    )
    cold = range(first, int(min(2 * first + 100, startable)) + 1, 100)
    tries = [(each, 0) for each in cold] + [(each, each) for each in range(first, 3 * first, 100)]
    for reserved, warm in tries:
        deployment = _prepared(punches, reserved, warm)
        result = simulate(punches, SHIFT_S, deployment)
        if result.accepted_in_s <= SHIFT_S + _LATE_S and result.most_refusals <= _MAX_REFUSALS:
            return Need(deployment, _quota(reserved), result)
    raise RuntimeError(f"No reservation is enough for {punches:,} punches.")


def _prepared(punches: int, reserved: int, warm: int) -> Deployment:
    """Return a deployment whose table and API can do what its environments can."""
    writes = reserved * limit("Lambda, requests a second and environment") + measured("replication")
    per_s = punches / SHIFT_S
    return Deployment(
        reserved=reserved,
        warm=warm,
        warm_writes=max(_up(writes, 1_000), int(limit("DynamoDB, writes of a new table"))),
        gateway_per_s=max(_up(1.2 * per_s, 1_000), limit("API Gateway, requests a second")),
        gateway_burst=max(_up(per_s / 2, 1_000), int(limit("API Gateway, burst"))),
    )


def _up(number: float, unit: int) -> int:
    """Round up to a multiple of the unit."""
    return unit * math.ceil(number / unit)


def _quota(reserved: int) -> int:
    others = sum(each["reserved_concurrency"] for each in functions().values())
    others -= functions()["intake"]["reserved_concurrency"]
    quota = reserved + others + limit("Lambda, unreserved concurrency")
    return _up(quota, 100)


def shift_changes() -> str:
    """Write the table of simulated shift changes with the deployment as it is."""
    rows = []
    offered = [(each, False) for each in OFFERED] + [(each, True) for each in _FROM_WEB_APPS]
    for punches, preflights in offered:
        result = simulate(punches, SHIFT_S, replace(deployed(), preflights=preflights))
        rows.append(
            (
                f"{punches:,}" + (" from a web app" if preflights else ""),
                f"{result.accepted_in_s:,.1f} s",
                f"{result.refused:,}",
                f"{result.most_refusals}",
                f"{result.environments:,}",
                f"{result.replicated_in_s:,.0f} s",
                _time(result.integrated_in_s),
            )
        )
    return table(
        (
            "offered in 15 s",
            "accepted in",
            "refused answers",
            "most of one phone",
            "environments",
            "replicated in",
            "integrated in, legacy at 200/s",
        ),
        rows,
    )


def needs() -> str:
    """Write the table of what the shift changes need."""
    rows = []
    for punches in OFFERED:
        each = need(punches)
        rows.append(
            (
                f"{punches:,}",
                f"{each.deployment.reserved:,}",
                f"{each.deployment.warm:,}",
                f"{each.quota:,}",
                f"{each.deployment.warm_writes:,}",
                f"{each.deployment.gateway_per_s:,.0f}, {each.deployment.gateway_burst:,}",
                f"{each.result.accepted_in_s:,.1f} s",
                f"{each.result.refused:,}, {each.result.most_refusals}",
            )
        )
    return table(
        (
            "offered in 15 s",
            "reserved",
            "warm before",
            "account quota",
            "warm writes/s",
            "API requests/s, burst",
            "accepted in",
            "refused, most of one phone",
        ),
        rows,
    )


def loads() -> str:
    """Write the table of what each part must sustain under the two loads."""
    day, shift = 1e6 / 86_400, 100_000 / SHIFT_S
    rows = [
        ("POST requests a second, puts to the table", f"{day:,.0f}", f"{shift:,.0f}"),
        (
            "concurrent executions of intake by their time, all warm",
            *(_whole(rate * measured("POST to intake")) for rate in (day, shift)),
        ),
        (
            "concurrent executions of intake by Lambda's count, all warm",
            *(
                _whole(rate / limit("Lambda, requests a second and environment"))
                for rate in (day, shift)
            ),
        ),
        (
            "largest size of the buffer",
            "the records of a minute",
            f"{100_000 * measured('item in the buffer') / 1e6:,.0f} MB",
        ),
        (
            "growth of Postgres",
            f"{1e6 * measured('record in Postgres') / 1e9:,.1f} GB a day",
            f"{100_000 * measured('record in Postgres') / 1e6:,.0f} MB",
        ),
        *(
            (
                f"time until all are integrated, legacy at {rate:,.0f}/s",
                _time(1e6 / rate),
                _time(100_000 / rate),
            )
            for rate in _LEGACIES
        ),
    ]
    return table(("", "1,000,000 a day", "100,000 in 15 s"), rows)


def costs(of: Sequence[str]) -> str:
    """Write the table of monthly costs at a million records a day in these regions."""
    bills = [monthly(1e6, 50, region) for region in of]
    options = [optional(1e6, region) for region in of]
    totals = [sum(bill.values()) for bill in bills]
    return table(
        ("a month of 1,000,000 records a day, US$", *of),
        [
            *_rows(bills),
            ("total", *(f"{each:,.0f}" for each in totals)),
            *((f"off by default: {name}", *dollars) for name, *dollars in _rows(options)),
        ],
    )


def _rows(columns: Sequence[Mapping[str, float]]) -> list[tuple[str, ...]]:
    return [(name, *(f"{each[name]:,.0f}" for each in columns)) for name in columns[0]]


def price_list(of: Sequence[str]) -> str:
    """Write the table of prices in these regions, with AWS's page and who confirms the number."""
    lists = [prices(region) for region in of]
    rows = []
    for name, first in lists[0].items():
        confirmed = [
            f"{region}: {each[name].confirmed_by or 'not confirmed'}"
            for region, each in zip(of, lists, strict=True)
        ]
        rows.append(
            (
                name,
                first.unit,
                *(f"{each[name].usd:g}" for each in lists),
                f"[page]({first.page})",
                "; ".join(confirmed),
            )
        )
    dates = ", ".join(sorted({checked(region) for region in of}))
    return table(("price (US$)", "for", *of, "AWS's page", f"looked up {dates}"), rows)


def sources() -> str:
    """Write the table of measured values and limits with their sources."""
    rows = [
        (name, f"{each.value:g}", each.unit, each.source)
        for name, each in [*MEASURED.items(), *LIMITS.items()]
    ]
    return table(("measured value or limit of AWS", "", "unit", "source"), rows)


def tables(of: Sequence[str]) -> str:
    """Write all tables, in the order of docs/capacity.md, with the costs in these regions."""
    return "\n".join([shift_changes(), needs(), loads(), costs(of), price_list(of), sources()])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _whole(number: float) -> str:
    return f"{max(1, round(number)):,}"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min"
