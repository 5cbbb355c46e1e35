"""The numbers that capacity and cost follow from: prices, measured values, limits of AWS.

Each states its date and source; assumptions are marked as such.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHALICE = Path(__file__).resolve().parents[2] / ".chalice"


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
        0.013, "s", "assumed: 0.4 ms of CPU (README) at 0.6 core, a put of 8 ms, plus 50 %"
    ),
    "cold start of intake": Figure(
        0.6, "s", "assumed: 0.1 s of CPU (README) at 0.6 core, plus 0.4 s for Lambda's start"
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

_SCALING = "[AWS, 2026](https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html)"
_QUOTAS = "[AWS, 2026](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)"
_GATEWAY = "[AWS, 2026](https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html)"
_WARM = "[AWS, 2026](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html)"

LIMITS = {
    "Lambda, requests a second and environment": Figure(10, "requests/s", _QUOTAS),
    "Lambda, new environments at once": Figure(1_000, "a function", _SCALING),
    "Lambda, new environments a second": Figure(
        100, "a function", "1,000 in 10 s, refilled continuously: " + _SCALING
    ),
    "Lambda, unreserved concurrency": Figure(100, "at least", _QUOTAS),
    "API Gateway, requests a second": Figure(10_000, "account and region", _GATEWAY),
    "API Gateway, burst": Figure(5_000, "account and region", _GATEWAY),
    "DynamoDB, writes of a partition": Figure(1_000, "writes/s", _WARM),
    "DynamoDB, writes of a new table": Figure(4_000, "writes/s", _WARM),
}


def price(name: str) -> float:
    """Return a price in US dollars."""
    return PRICES[name].value


def measured(name: str) -> float:
    """Return a measured or assumed value."""
    return MEASURED[name].value


def limit(name: str) -> float:
    """Return a limit of AWS."""
    return LIMITS[name].value


def functions() -> dict[str, dict[str, Any]]:
    """Return the configuration of the deployed functions."""
    config = json.loads((CHALICE / "config.json").read_text(encoding="utf-8"))
    deployed: dict[str, dict[str, Any]] = config["stages"]["prod"]["lambda_functions"]
    return deployed


def template() -> dict[str, Any]:
    """Return the part of the template that is written by hand."""
    document: dict[str, Any] = json.loads((CHALICE / "resources.json").read_text(encoding="utf-8"))
    return document
