"""``python -m deploy STAGE``: package a stage into ``build/STAGE`` and print its size."""

import argparse
import subprocess
import sys
from pathlib import Path

from deploy.package import PROJECT, StageError, package
from deploy.runtime import RUNTIME, interpreter


def main() -> int:
    """Read the command line and package; return 0, or 1 if packaging failed."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    parser.add_argument("stage", help="such as prod: part of the name of each resource in AWS")
    parser.add_argument(
        "--build", type=Path, default=PROJECT / "build", help="output directory (build/)"
    )
    arguments = parser.parse_args()
    try:
        template = package(arguments.stage, arguments.build)
    except (StageError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    if interpreter(RUNTIME) is None:
        print(
            f"Warning: the zip contains no bytecode, so each cold start compiles all sources. "
            f"Put {RUNTIME} on PATH and package again.",
            file=sys.stderr,
        )
    archive = template.with_name("deployment.zip")
    print(f"{template}\n{archive}: {archive.stat().st_size / 1_000:,.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
