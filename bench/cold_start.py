"""Measure a cold start: CPU from a fresh interpreter to a built intake, in total and by module.

The peer is the same interpreter after the import of boto3 and the build of its DynamoDB client:
what intake would need at least, if it used boto3.
"""

import os
import re
import statistics
import subprocess
import sys
from collections import Counter

from rich.console import Console
from rich.table import Table

from local.child_process import PROJECT
from local.dynamodb.server import CREDENTIALS

_ROUNDS = 7
_SHOWN = 15
_KEY = "the signing key of a benchmark, 32 bytes or more"
_PRINT = "; import time; print(time.process_time() * 1e3)"
_STEPS = {
    "an interpreter": "pass",
    "app imported": "import app",
    "intake built": "import app; app.container.intake()",
    "intake and authenticator built": "import app; app.container.intake();"
    " app.container.authenticator()",
    "boto3's client alone": "import boto3; boto3.client('dynamodb')",
}
_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| *(\S+)")


def main() -> None:
    """Measure and print."""
    costs: dict[str, list[float]] = {name: [] for name in _STEPS}
    for _ in range(_ROUNDS):
        for name, program in _STEPS.items():
            costs[name].append(float(_run("-c", program + _PRINT).stdout))
    table = Table("from a fresh interpreter", "ms CPU, median")
    for name, rounds in costs.items():
        table.add_row(name, f"{statistics.median(rounds):.0f}")
    Console().print(table)

    by_package: Counter[str] = Counter()
    for us, module in _LINE.findall(
        _run("-X", "importtime", "-c", _STEPS["intake and authenticator built"]).stderr
    ):
        parts = module.split(".")
        name = module if parts[0] == "chalicelib" else parts[0]
        by_package[name] += int(us)
    modules = Table("import, without what it imports", "ms, one run")
    for name, us in by_package.most_common(_SHOWN):
        modules.add_row(name, f"{us / 1e3:.1f}")
    rest = sum(us for _, us in by_package.most_common()[_SHOWN:])
    modules.add_row(f"{max(0, len(by_package) - _SHOWN)} others", f"{rest / 1e3:.1f}")
    Console().print(modules)


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the interpreter with the environment of a function on AWS."""
    environment = {"PATH": os.environ["PATH"], **CREDENTIALS, "JWT_KEY": _KEY}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )


if __name__ == "__main__":
    main()
