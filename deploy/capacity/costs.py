"""What the service costs in a month, in US dollars."""

from chalicelib.telemetry import METRICS
from deploy.capacity.facts import functions, measured, price, template

_DAYS = 30


def _alarms() -> int:
    kinds = [each.get("Type") for each in template()["Resources"].values()]
    return kinds.count("AWS::CloudWatch::Alarm")


def _gigabytes(function: str) -> float:
    return float(functions()[function]["lambda_memory_size"]) / 1024


def monthly(records_a_day: float, legacy_per_s: float) -> dict[str, float]:
    """Return the monthly cost of each item in US dollars."""
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
    return {
        "API Gateway": millions * price("API Gateway, REST"),
        "Lambda": (millions + sum(ticks.values()) / 1e6) * price("Lambda, requests")
        + gb_s * price("Lambda, time"),
        "DynamoDB": writes * price("DynamoDB, writes") + reads * price("DynamoDB, reads"),
        "Logs": records * measured("log of a POST") / 1e9 * price("Logs, ingested"),
        "Metrics, alarms, dashboard": sum(map(len, METRICS.values())) * price("Metric")
        + _alarms() * price("Alarm")
        + price("Dashboard"),
        "Postgres, with a year's records": price("Postgres, 2 vCPU and 8 GB in two zones")
        + stored_gb * price("Postgres, storage in two zones"),
        "VPC endpoints (SSM, Logs)": 2 * price("VPC endpoint, in two zones"),
    }
