"""The numbers that capacity and cost follow from: prices, measured values, limits of AWS.

Each states its source; assumptions are marked as such. ``prices/REGION.json`` has the prices.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PRICES = Path(__file__).with_name("prices")
CHALICE = Path(__file__).resolve().parents[2] / ".chalice"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit and source."""

    value: float
    unit: str
    source: str


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
    "record in the journal": Figure(
        97.0, "bytes", "measured: 350 in a file, compressed, with device and position"
    ),
    "delivery in the journal": Figure(26.0, "bytes", "measured: 700 in a file, compressed"),
    "log of a POST": Figure(
        800.0, "bytes", "measured: our line, 514; assumed: Lambda's lines, 286"
    ),
    "call to the legacy": Figure(3_000.0, "bytes", "assumed: both ways, with headers and TLS"),
    "methods of the API in use": Figure(10.0, "methods", "assumed: each has five metrics"),
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


@dataclass(frozen=True, slots=True)
class Price:
    """A price in US dollars, without free tiers.

    Attributes:
        page: AWS's own page of the price. It computes its numbers in the browser.
        confirmed_by: a page that states the number, with its date; "" if none was found.
    """

    usd: float
    unit: str
    page: str
    confirmed_by: str


def regions() -> list[str]:
    """Return the regions that have a file of prices, in reverse alphabetical order."""
    return sorted((path.stem for path in _PRICES.glob("*.json")), reverse=True)


def prices(region: str) -> dict[str, Price]:
    """Return the prices of a region by name.

    Raises:
        ValueError: the region has no file of prices.
    """
    if region not in regions():
        raise ValueError(f"{region} has no prices: add deploy/capacity/prices/{region}.json.")
    document = json.loads((_PRICES / f"{region}.json").read_text(encoding="utf-8"))
    found = {}
    for name, each in document["prices"].items():
        source = each.get("confirmed_by")
        text = f"[{source['name']}]({source['url']})" if source else ""
        found[name] = Price(each["usd"], each["unit"], each["page"], text)
    return found


def checked(region: str) -> str:
    """Return the day on which the prices of a region were last looked up."""
    document = json.loads((_PRICES / f"{region}.json").read_text(encoding="utf-8"))
    return str(document["checked"])


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


def database_template() -> str:
    """Return the text of the template of the database's stack."""
    return (CHALICE.parent / "deploy" / "database.yaml").read_text(encoding="utf-8")
