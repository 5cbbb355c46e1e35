"""``python -m deploy.capacity``: compute the capacity and the cost of the service, as tables.

The two loads are a million records a day, and a shift change of 100,000 records in 15 seconds. Each
price and each measured value states its date and source; assumptions are marked as such.
``docs/operations.md`` contains the tables; a test compares them.
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
    """A number with its unit and source."""

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
    "Logs, ingested": Figure(0.50, "a GB", _CLOUDWATCH),
    "Dashboard": Figure(3.00, "a month", _CLOUDWATCH),
    "Metric": Figure(0.30, "a month", _METRIC),
    "Alarm": Figure(0.10, "a month", _ASSUMED),
    "Postgres, 2 vCPU and 8 GB in two zones": Figure(250.0, "a month", _ASSUMED),
    "Postgres, storage in two zones": Figure(0.23, "a GB and month", _ASSUMED),
    "VPC endpoint, in two zones": Figure(14.60, "a month", _ASSUMED),
}

MEASURED = {
    "POST to intake": Figure(
        0.015, "s", "assumed: 1.2 ms of CPU (README) at 0.6 core, a put of 8 ms, plus 50 %"
    ),
    "cold start of intake": Figure(
        1.0, "s", "assumed: 0.3 s of CPU (decision 15) at 0.6 core, plus Lambda's start"
    ),
    "replication": Figure(
        2_000.0, "records/s", "assumed: 13,000 at 75 µs of CPU (README), less for round trips"
    ),
    "item in the buffer": Figure(331.0, "bytes", "measured: with device and position"),
    "record in Postgres": Figure(1_030.0, "bytes", "measured: two log rows, indexes, dead rows"),
    "log of a POST": Figure(
        800.0, "bytes", "measured: our line, 514; assumed: Lambda's lines, 286"
    ),
    "run with nothing to do": Figure(0.3, "s", "assumed"),
}

# Examples: records a second that the legacy takes. The true value is unknown before deployment.
_LEGACIES = (20.0, 50.0, 200.0)


def _price(name: str) -> float:
    return PRICES[name].value


def _measured(name: str) -> float:
    return MEASURED[name].value


def _functions() -> dict[str, dict[str, Any]]:
    config = json.loads((_CHALICE / "config.json").read_text(encoding="utf-8"))
    functions: dict[str, dict[str, Any]] = config["stages"]["prod"]["lambda_functions"]
    return functions


def _alarms() -> int:
    template = json.loads((_CHALICE / "resources.json").read_text(encoding="utf-8"))
    kinds = [each.get("Type") for each in template["Resources"].values()]
    return kinds.count("AWS::CloudWatch::Alarm")


def _gigabytes(function: str) -> float:
    return float(_functions()[function]["lambda_memory_size"]) / 1024


def monthly(records_a_day: float, legacy_per_s: float) -> dict[str, float]:
    """Return the monthly cost of each item in US dollars."""
    records = records_a_day * _DAYS
    runs = 24 * 60 * _DAYS
    millions = records / 1e6
    busy_s = {
        "intake": records * _measured("POST to intake"),
        "replicate": records / _measured("replication"),
        # A run lasts until the legacy has taken every due record.
        "integrate": records / legacy_per_s,
        "observe": 0.0,
    }
    idle_s = runs * _measured("run with nothing to do")
    gb_s = sum(
        (seconds + (0 if name == "intake" else idle_s)) * _gigabytes(name)
        for name, seconds in busy_s.items()
    )
    # A put or a delete of up to 1 KB takes one unit. A unit of an eventually consistent scan reads
    # 8 KB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
    writes = 2 * millions
    reads = millions * _measured("item in the buffer") / 8_192
    stored_gb = records * 12 * _measured("record in Postgres") / 1e9
    return {
        "API Gateway": millions * _price("API Gateway, REST"),
        "Lambda": (millions + 3 * runs / 1e6) * _price("Lambda, requests")
        + gb_s * _price("Lambda, time"),
        "DynamoDB": writes * _price("DynamoDB, writes") + reads * _price("DynamoDB, reads"),
        "Logs": records * _measured("log of a POST") / 1e9 * _price("Logs, ingested"),
        "Metrics, alarms, dashboard": sum(map(len, METRICS.values())) * _price("Metric")
        + _alarms() * _price("Alarm")
        + _price("Dashboard"),
        "Postgres, with a year's records": _price("Postgres, 2 vCPU and 8 GB in two zones")
        + stored_gb * _price("Postgres, storage in two zones"),
        "VPC endpoints (SSM, Logs)": 2 * _price("VPC endpoint, in two zones"),
    }


def costs() -> str:
    """Write the table of monthly costs at a million records a day."""
    bill = monthly(1e6, 50)
    rows = [(name, f"{dollars:,.0f}") for name, dollars in bill.items()]
    return _table(
        ("a month of 1,000,000 records a day", "US$"),
        [*rows, ("total", f"{sum(bill.values()):,.0f}")],
    )


def loads() -> str:
    """Write the table of what each part must sustain under the two loads."""
    reserved = _functions()["intake"]["reserved_concurrency"]
    day, shift = 1e6 / 86_400, 100_000 / 15
    served = reserved / _measured("POST to intake")
    rows = [
        ("POST requests a second", f"{day:,.0f}", f"{shift:,.0f}"),
        (
            "concurrent executions of intake, all warm",
            *(_whole(rate * _measured("POST to intake")) for rate in (day, shift)),
        ),
        (
            "concurrent executions of intake, all cold",
            *(_whole(rate * _measured("cold start of intake")) for rate in (day, shift)),
        ),
        (
            f"POST requests a second that {reserved} warm executions serve",
            f"{served:,.0f}",
            f"{served:,.0f}",
        ),
        ("puts a second to the table", f"{day:,.0f}", f"{shift:,.0f}"),
        (
            "largest size of the buffer",
            "the records of a minute",
            f"{100_000 * _measured('item in the buffer') / 1e6:,.0f} MB",
        ),
        (
            "time until all are replicated",
            "1 min",
            f"{60 + 100_000 / _measured('replication'):,.0f} s",
        ),
        (
            "growth of Postgres",
            f"{1e6 * _measured('record in Postgres') / 1e9:,.1f} GB a day",
            f"{100_000 * _measured('record in Postgres') / 1e6:,.0f} MB",
        ),
        *(
            (
                f"time until all are integrated, legacy at {rate:,.0f}/s",
                _hours(1e6 / rate),
                _hours(100_000 / rate),
            )
            for rate in _LEGACIES
        ),
    ]
    return _table(("", "1,000,000 a day", "100,000 in 15 s"), rows)


def sources() -> str:
    """Write the table of prices and measured values with their sources."""
    rows = [
        (name, f"{each.value:g}", each.unit, each.source)
        for name, each in [*PRICES.items(), *MEASURED.items()]
    ]
    return _table(("price (US$) or measured value", "", "unit", "source"), rows)


def tables() -> str:
    """Write all tables, as in docs/operations.md."""
    return "\n".join([loads(), costs(), sources()])


def _whole(number: float) -> str:
    return f"{max(1, round(number)):,}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(tables(), end="")
