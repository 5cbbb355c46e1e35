"""The commands of a deployment: ``package``, ``preflight`` and ``protection``."""

import argparse
import subprocess
import sys
from pathlib import Path

from deploy import preflight
from deploy.package import PROJECT, StageError, package, stage_configuration
from deploy.runtime import ARCHITECTURE, MACHINES, RUNTIME, interpreter


def main() -> int:
    """Read the command line and run a command; return 0, or 1 if it failed."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    packaging = commands.add_parser("package", help="make a CloudFormation template and a zip")
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

    checking = commands.add_parser("preflight", help="check that the account can be deployed to")
    checking.add_argument("stage")
    checking.add_argument("--bucket", help="the bucket for the code")
    checking.set_defaults(run=_check)

    protecting = commands.add_parser(
        "protection", help="print false before the first deployment of a stage, and true after it"
    )
    protecting.add_argument("stage")
    protecting.set_defaults(run=_protection)

    arguments = parser.parse_args()
    try:
        status: int = arguments.run(arguments)
    except (StageError, preflight.CliError, subprocess.CalledProcessError) as error:
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


def _check(arguments: argparse.Namespace) -> int:
    configuration = stage_configuration(arguments.stage)
    stack = f"punch-clock-{arguments.stage}"
    reserved = {
        stack if name == "api_handler" else f"{stack}-{name}": each["reserved_concurrency"]
        for name, each in configuration["lambda_functions"].items()
    }
    table = configuration["environment_variables"]["POINT_RECORD_TABLE"]
    found = preflight.problems(preflight.Plan(stack, arguments.bucket, table, reserved))
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


def _protection(arguments: argparse.Namespace) -> int:
    """Print the template's parameter ProtectTable.

    A table that is protected from its first second on would stay when the first deployment fails.
    """
    state = preflight.stack_state(f"punch-clock-{arguments.stage}")
    print("false" if state is None else "true")
    return 0


if __name__ == "__main__":
    sys.exit(main())
