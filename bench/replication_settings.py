"""Measure replication around the default of each of its settings."""

import statistics

from rich.console import Console
from rich.table import Table

from bench.backlog import fill, replicator_on, settings, truncate
from bench.engines import engines
from bench.replication import BACKLOG, ROUNDS

_VALUES = {"segments": (1, 2, 4), "page": (250, 500, 1_000, 2_000), "deleters": (1, 2, 3, 4, 8)}


def main() -> None:
    """Measure and print medians; the values of a setting in turns."""
    table = Table("setting", "value", "of the default's records/s")
    with engines() as stores:
        for name, values in _VALUES.items():
            rates: dict[int, list[float]] = {value: [] for value in values}
            for _ in range(ROUNDS):
                for value, rate in rates.items():
                    fill(stores, BACKLOG)
                    replicator = replicator_on(
                        stores.database, stores.dynamodb_url, **{name: value}
                    )
                    rate.append(BACKLOG / replicator.run(lambda: 900.0).seconds)
                    truncate(stores)
            default = statistics.median(rates[getattr(settings, f"replication_{name}")])
            for value, rate in rates.items():
                table.add_row(name, str(value), f"{statistics.median(rate) / default:.2f}")
    Console().print(table)
