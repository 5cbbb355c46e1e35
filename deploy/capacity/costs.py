"""What the service costs in a month, in US dollars, in a region."""

import re

from chalicelib.settings import Settings
from chalicelib.telemetry import METRICS
from deploy.capacity.facts import database_template, functions, measured, prices, template

_DAYS = 30
_HOURS = 730
# Of each method of an API: requests, two kinds of errors, two latencies.
_METRICS_OF_A_METHOD = 5


def _alarms() -> int:
    kinds = [each.get("Type") for each in template()["Resources"].values()]
    return kinds.count("AWS::CloudWatch::Alarm") + database_template().count(
        "Type: AWS::CloudWatch::Alarm"
    )


def _gigabytes(function: str) -> float:
    return float(functions()[function]["lambda_memory_size"]) / 1024


def allocated_gb(stored_gb: float) -> float:
    """Return the storage that RDS has allocated, and bills, for this much data.

    It begins with the template's StorageGb, and grows by a tenth while less than a tenth is free.
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIOPS.Autoscaling.html
    """
    (first,) = re.findall(r"StorageGb: \{Type: Number, Default: (\d+)", database_template())
    allocated = float(first)
    while stored_gb > 0.9 * allocated:
        allocated *= 1.1
    return allocated


def monthly(records_a_day: float, legacy_per_s: float, region: str) -> dict[str, float]:
    """Return the monthly cost of each item that every deployment has."""
    usd = {name: each.usd for name, each in prices(region).items()}
    records = records_a_day * _DAYS
    runs = 24 * 60 * _DAYS
    millions = records / 1e6
    busy_s = {
        "intake": records * measured("POST to intake"),
        "replicate": records / measured("replication"),
        # A run lasts until the legacy has taken every due record.
        "integrate": records / legacy_per_s,
        "observe": 0.0,
        "store-keys": 0.0,
    }
    # Every minute, and store-keys every five.
    ticks = {"replicate": runs, "integrate": runs, "observe": runs, "store-keys": runs / 5}
    idle_s = measured("run with nothing to do")
    gb_s = sum(
        (seconds + ticks.get(name, 0) * idle_s) * _gigabytes(name)
        for name, seconds in busy_s.items()
    )
    # A put or a delete of up to 1 KB takes one unit. A unit of an eventually consistent scan reads
    # 8 KB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
    writes = 2 * millions
    reads = millions * measured("item in the buffer") / 8_192
    stored_gb = records * 12 * measured("record in Postgres") / 1e9
    metrics = len({name for of_event in METRICS.values() for name in of_event})
    return {
        "API Gateway": millions * usd["API Gateway, REST"],
        "API Gateway's metrics": measured("methods of the API in use")
        * _METRICS_OF_A_METHOD
        * usd["Metric"],
        "Lambda": (millions + sum(ticks.values()) / 1e6) * usd["Lambda, requests"]
        + gb_s * usd["Lambda, time on arm64"],
        "DynamoDB": writes * usd["DynamoDB, writes"] + reads * usd["DynamoDB, reads"],
        "Logs": records * measured("log of a POST") / 1e9 * usd["Logs, ingested"],
        "Metrics, alarms, dashboard": metrics * usd["Metric"]
        + _alarms() * usd["Alarm"]
        + usd["Dashboard"],
        "Postgres, two zones": _HOURS * usd["Postgres, db.m7g.large in two zones"],
        "Storage as allocated, with a year's records": allocated_gb(stored_gb)
        * usd["Postgres, gp3 in two zones"],
        "VPC endpoints (SSM, Logs), two zones": 2 * 2 * _HOURS * usd["VPC endpoint, in one zone"],
    }


def optional(records_a_day: float, region: str) -> dict[str, float]:
    """Return the monthly cost of each item that is off by default."""
    usd = {name: each.usd for name, each in prices(region).items()}
    records = records_a_day * _DAYS
    # A tick writes a file for each segment that has records, and one of deliveries.
    journal_files = (Settings().replication_segments + 1) * 24 * 60 * _DAYS
    journaled_gb = (
        records
        * 12
        * (measured("record in the journal") + measured("delivery in the journal"))
        / 1e9
    )
    called_gb = records * measured("call to the legacy") / 1e9
    return {
        "NAT gateway with a fixed address": _HOURS
        * (usd["NAT gateway"] + usd["Public IPv4 address"])
        + called_gb * usd["NAT gateway, data"],
        "RDS Proxy, 2 vCPU": 2 * _HOURS * usd["RDS Proxy, a vCPU"],
        "journal, with a year's records": journal_files / 1e6 * usd["S3, puts"]
        + journaled_gb * usd["S3, storage"],
        "WAF with one rule": usd["WAF, web ACL"]
        + usd["WAF, rule"]
        + records / 1e6 * usd["WAF, requests"],
    }
