"""``python -m deploy package STAGE``: package a stage into ``build/STAGE`` and print its size."""

import argparse
import subprocess
import sys
from pathlib import Path

from deploy.package import PROJECT, StageError, package
from deploy.runtime import ARCHITECTURE, MACHINES, RUNTIME, interpreter


def main() -> int:
    """Read the command line and run a command; return 0, or 1 if it failed."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packaging = commands.add_parser("package", help="a CloudFormation template and a zip")
    packaging.add_argument("stage", help="such as prod: part of the name of each resource in AWS")
    packaging.add_argument("--build", type=Path, default=PROJECT / "build", help="default: build/")
    packaging.add_argument(
        "--architecture",
        choices=sorted(MACHINES),
        default=ARCHITECTURE,
        help=f"the processor of the functions ({ARCHITECTURE})",
    )
    packaging.add_argument(
        "--without-bytecode",
        action="store_true",
        help=f"package though {RUNTIME} is not on PATH; each cold start compiles all sources",
    )
    packaging.set_defaults(run=_package)
    arguments = parser.parse_args()
    try:
        status: int = arguments.run(arguments)
    except (StageError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return status


def _package(arguments: argparse.Namespace) -> int:
    if interpreter(RUNTIME) is None and not arguments.without_bytecode:
        print(
            f"Put {RUNTIME} on PATH: it makes the bytecode of the zip. With --without-bytecode "
            "the zip has sources only, and each cold start compiles them.",
            file=sys.stderr,
        )
        return 1
    template = package(arguments.stage, arguments.build, architecture=arguments.architecture)
    archive = template.with_name("deployment.zip")
    print(f"{template}\n{archive}: {archive.stat().st_size / 1_000:,.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
