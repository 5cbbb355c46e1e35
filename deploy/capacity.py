"""``python -m deploy.capacity``: what a day and a shift change need and cost, as tables.

Arithmetic on prices and measures that are stated with their date and source; what is not known is
an assumption and says so. The tables stand in docs/operations.md, and a test holds them to it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.telemetry import METRICS

_CHALICE = Path(__file__).resolve().parents[1] / ".chalice"
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit, and where it is from."""

    value: float
    unit: str
    source: str


_LAMBDA = "[tutorial, 2025-12](https://appropri8-astro.pages.dev/tutorials/2025/12/02/deploying-simple-api-aws/page/7)"
_DYNAMODB = "[Airbyte, 2025-07](https://airbyte.com/data-engineering-resources/dynamodb-pricing)"
_CLOUDWATCH = "[FactualMinds, 2026-06](https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/)"
_METRIC = "[SigNoz, 2026-02](https://signoz.io/guides/cloudwatch-pricing)"
_ASSUMED = "assumed, 2026-11: check"

# US dollars in us-east-1, without free tiers. Other regions cost more.
PRICES = {
    "API Gateway, REST": Figure(3.50, "a million requests", _LAMBDA),
    "Lambda, requests": Figure(0.20, "a million", _LAMBDA),
    "Lambda, time": Figure(0.0000166667, "a GB-second", _LAMBDA),
    "DynamoDB, writes": Figure(0.625, "a million units", _DYNAMODB),
    "DynamoDB, reads": Figure(0.125, "a million units", _DYNAMODB),
    "Logs, taken in": Figure(0.50, "a GB", _CLOUDWATCH),
    "Dashboard": Figure(3.00, "a month", _CLOUDWATCH),
    "Metric": Figure(0.30, "a month", _METRIC),
    "Alarm": Figure(0.10, "a month", _ASSUMED),
    "Postgres, 2 vCPU and 8 GB in two zones": Figure(250.0, "a month", _ASSUMED),
    "Postgres, storage in two zones": Figure(0.23, "a GB and month", _ASSUMED),
    "VPC endpoint, in two zones": Figure(14.60, "a month", _ASSUMED),
}

MEASURES = {
    "POST in intake": Figure(
        0.015, "s", "assumed: 1.2 ms of CPU (README) at 0.6 core, a put of 8 ms, half on top"
    ),
    "cold start of intake": Figure(
        1.0, "s", "assumed: 0.3 s of CPU (decision 15) at 0.6 core, and Lambda's own"
    ),
    "replicating": Figure(
        2_000.0, "records/s", "assumed: 13,000 at 75 µs of CPU (README), less for round trips"
    ),
    "an item of the buffer": Figure(331.0, "bytes", "measured: with device and position"),
    "a record in Postgres": Figure(1_030.0, "bytes", "measured: two log rows, indexes, dead rows"),
    "a POST's log": Figure(800.0, "bytes", "measured: its line, 514; assumed: Lambda's own, 286"),
    "a tick with nothing to do": Figure(0.3, "s", "assumed"),
}

# What the legacy can take, in records a second: nobody knows before it is asked.
_LEGACIES = (20.0, 50.0, 200.0)


def _price(name: str) -> float:
    return PRICES[name].value


def _measure(name: str) -> float:
    return MEASURES[name].value


def _functions() -> dict[str, dict[str, Any]]:
    config = json.loads((_CHALICE / "config.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = config["stages"]["prod"]["lambda_functions"]
    return found


def _alarms() -> int:
    template = json.loads((_CHALICE / "resources.json").read_text(encoding="utf-8"))
    kinds = [each.get("Type") for each in template["Resources"].values()]
    return kinds.count("AWS::CloudWatch::Alarm")


def _gigabytes(function: str) -> float:
    return float(_functions()[function]["lambda_memory_size"]) / 1024


def monthly(records_a_day: float, legacy_per_s: float) -> dict[str, float]:
    """Return the cost of a month in US dollars, item by item."""
    records = records_a_day * _DAYS
    ticks = 24 * 60 * _DAYS
    millions = records / 1e6
    gb_s = {
        "intake": records * _measure("POST in intake"),
        "replicate": records / _measure("replicating"),
        # A run lasts as long as the legacy takes for what waits.
        "integrate": records / legacy_per_s,
        "observe": 0.0,
    }
    idle_s = ticks * _measure("a tick with nothing to do")
    time_ = sum(
        (busy_s + (0 if name == "intake" else idle_s)) * _gigabytes(name)
        for name, busy_s in gb_s.items()
    )
    # A put and a delete of up to 1 KB are a unit each; a scan reads 8 KB with one, eventually
    # consistent: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
    writes = 2 * millions
    reads = millions * _measure("an item of the buffer") / 8_192
    stored_gb = records * 12 * _measure("a record in Postgres") / 1e9
    return {
        "API Gateway": millions * _price("API Gateway, REST"),
        "Lambda": (millions + 3 * ticks / 1e6) * _price("Lambda, requests")
        + time_ * _price("Lambda, time"),
        "DynamoDB": writes * _price("DynamoDB, writes") + reads * _price("DynamoDB, reads"),
        "Logs": records * _measure("a POST's log") / 1e9 * _price("Logs, taken in"),
        "Metrics, alarms, dashboard": sum(map(len, METRICS.values())) * _price("Metric")
        + _alarms() * _price("Alarm")
        + _price("Dashboard"),
        "Postgres, with a year's records": _price("Postgres, 2 vCPU and 8 GB in two zones")
        + stored_gb * _price("Postgres, storage in two zones"),
        "VPC endpoints (SSM, Logs)": 2 * _price("VPC endpoint, in two zones"),
    }


def costs() -> str:
    """Write what a month costs at a million records a day."""
    bill = monthly(1e6, 50)
    rows = [(name, f"{dollars:,.0f}") for name, dollars in bill.items()]
    return _table(
        ("a month of 1,000,000 records a day", "US$"),
        [*rows, ("in all", f"{sum(bill.values()):,.0f}")],
    )


def needs() -> str:
    """Write what a day of a million records, and 100,000 within 15 s, ask of each part."""
    reserved = _functions()["intake"]["reserved_concurrency"]
    day, shift = 1e6 / 86_400, 100_000 / 15
    served = reserved / _measure("POST in intake")
    rows = [
        ("POSTs a second", f"{day:,.0f}", f"{shift:,.0f}"),
        (
            "intake at once, warm",
            *(_whole(rate * _measure("POST in intake")) for rate in (day, shift)),
        ),
        (
            "intake at once, all cold",
            *(_whole(rate * _measure("cold start of intake")) for rate in (day, shift)),
        ),
        (f"POSTs a second that {reserved} at once serve, warm", f"{served:,.0f}", f"{served:,.0f}"),
        ("writes a second of the table, puts alone", f"{day:,.0f}", f"{shift:,.0f}"),
        (
            "buffer at its fullest",
            "a minute's",
            f"{100_000 * _measure('an item of the buffer') / 1e6:,.0f} MB",
        ),
        ("replicated after", "a minute", f"{60 + 100_000 / _measure('replicating'):,.0f} s"),
        (
            "Postgres grows by",
            f"{1e6 * _measure('a record in Postgres') / 1e9:,.1f} GB a day",
            f"{100_000 * _measure('a record in Postgres') / 1e6:,.0f} MB",
        ),
        *(
            (
                f"integrated by a legacy of {rate:,.0f}/s in",
                _hours(1e6 / rate),
                _hours(100_000 / rate),
            )
            for rate in _LEGACIES
        ),
    ]
    return _table(("", "1,000,000 a day", "100,000 in 15 s"), rows)


def stated() -> str:
    """Write the prices and measures with their sources."""
    rows = [
        (name, f"{each.value:g}", each.unit, each.source)
        for name, each in [*PRICES.items(), *MEASURES.items()]
    ]
    return _table(("price (US$) or measure", "", "", "source"), rows)


def tables() -> str:
    """Write all tables, as docs/operations.md has them."""
    return "\n".join([needs(), costs(), stated()])


def _whole(number: float) -> str:
    return f"{max(1, round(number)):,}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(tables(), end="")
