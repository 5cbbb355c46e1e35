"""``python -m deploy STAGE``: package a stage into ``build/STAGE`` and say how large it is."""

import argparse
import subprocess
import sys
from pathlib import Path

from deploy.package import PROJECT, StageError, package


def main() -> int:
    """Read the command line and package; return 0, or 1 if that was not possible."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    parser.add_argument("stage", help="its name, such as prod: a part of every name in the account")
    parser.add_argument("--build", type=Path, default=PROJECT / "build", help="where to (build)")
    arguments = parser.parse_args()
    try:
        template = package(arguments.stage, arguments.build)
    except (StageError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    size = template.with_name("deployment.zip").stat().st_size
    print(f"{template}\n{template.with_name('deployment.zip')}: {size / 1_000:,.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
