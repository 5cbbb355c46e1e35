"""The commands of a deployment.

``make package``, ``make deploy`` and ``make chalice-deploy`` call them (docs/deployment.md).
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from chalicelib.settings import SettingsError
from deploy import change_set, companion, configure, preflight
from deploy.merge_template import ParameterError, read
from deploy.package import PROJECT, StageError, check_stage, package, stage_configuration
from deploy.runtime import ARCHITECTURE, MACHINES, RUNNING, RUNTIME, interpreter


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

    configuring = commands.add_parser(
        "configure", help="write a stage of `chalice deploy` into .chalice/config.json"
    )
    configuring.add_argument("--stage", required=True)
    for name in configure.ASKED:
        configuring.add_argument(f"--{_option(name)}", dest=name, metavar="VALUE")
    configuring.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    configuring.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    configuring.add_argument("--concurrency", type=int, default=configure.CONCURRENCY)
    configuring.add_argument("--architecture", choices=sorted(MACHINES), default=ARCHITECTURE)
    configuring.set_defaults(run=_configure)

    accompanying = commands.add_parser(
        "companion", help="write the template of what `chalice deploy` does not make"
    )
    accompanying.add_argument("stage")
    accompanying.set_defaults(run=_companion)

    showing = commands.add_parser("changes", help="show a change set as a table in Markdown")
    showing.add_argument("change_set", help="its ARN")
    showing.set_defaults(run=lambda arguments: print(change_set.table(arguments.change_set)) or 0)

    executing = commands.add_parser(
        "execute", help="execute a change set of a stage, and protect the table after the first one"
    )
    executing.add_argument("stage")
    executing.add_argument("change_set", help="its ARN")
    executing.set_defaults(run=_execute)

    chalice = commands.add_parser(
        "chalice", help="run a command of Chalice, with the pinned runtime"
    )
    chalice.add_argument("stage")
    chalice.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND", help="deploy …")
    chalice.set_defaults(run=_chalice)

    arguments = parser.parse_args()
    try:
        status: int = arguments.run(arguments)
    except (
        *(StageError, ParameterError, SettingsError, preflight.CliError),
        change_set.DeploymentError,
        subprocess.CalledProcessError,
    ) as error:
        print(error, file=sys.stderr)
        return 1
    return status


def _package(arguments: argparse.Namespace) -> int:
    if interpreter(RUNTIME) is None:
        print(
            f"Warning: the zip contains no bytecode, so each cold start compiles all sources. "
            f"Put {RUNTIME} on PATH and package again.",
            file=sys.stderr,
        )
    template = package(arguments.stage, arguments.build, architecture=arguments.architecture)
    archive = template.with_name("deployment.zip")
    print(f"{template}\n{archive}: {archive.stat().st_size / 1_000:,.0f} kB")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    configuration = stage_configuration(arguments.stage)
    stack = f"punch-clock-{arguments.stage}"
    reserved = {
        stack if name == "api_handler" else f"{stack}-{name}": each.get("reserved_concurrency", 0)
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


def _execute(arguments: argparse.Namespace) -> int:
    check_stage(arguments.stage)
    change_set.execute(arguments.change_set)
    change_set.protect(f"punch-clock-{arguments.stage}")
    return 0


def _configure(arguments: argparse.Namespace) -> int:
    """Write the stage; ask for what is missing, if there is somebody to ask."""
    declared = read(arguments.stage)["Parameters"]
    parameters = dict(_pair(each) for each in arguments.parameter)
    for name in configure.ASKED:
        value = getattr(arguments, name)
        if value is None and sys.stdin.isatty():
            value = input(f"{declared[name]['Description']}\n{_option(name)}: ").strip()
        if not value:
            print(f"Set --{_option(name)}: {declared[name]['Description']}", file=sys.stderr)
            return 1
        parameters[name] = value
    configure.configure(
        arguments.stage,
        parameters,
        dict(_pair(each) for each in arguments.set),
        concurrency=arguments.concurrency,
        architecture=arguments.architecture,
    )
    stage = stage_configuration(arguments.stage)
    print(f"The stage {arguments.stage} is in .chalice/config.json. It needs these parameters:")
    values = stage["environment_variables"].values()
    for reference in sorted({each for each in values if each.startswith("ssm:")}):
        print(f"  {reference.removeprefix('ssm:').partition('#')[0]}")
    print(f"Then: make chalice-deploy STAGE={arguments.stage}")
    if RUNNING != RUNTIME:
        print(f"It deploys {RUNTIME}. `chalice deploy` of this {RUNNING} would not, and refuses.")
    return 0


def _option(parameter: str) -> str:
    """Return the name of an option: "jwks-url" for "JwksUrl"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", parameter).lower()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(f"Write NAME=VALUE, not {text!r}.")
    return name, value


def _companion(arguments: argparse.Namespace) -> int:
    path = PROJECT / "build" / arguments.stage / "companion.json"
    companion.write(arguments.stage, path)
    print(path)
    return 0


def _chalice(arguments: argparse.Namespace) -> int:
    from deploy import pinned_chalice  # noqa: PLC0415 - the other commands need no Chalice

    return pinned_chalice.run(arguments.stage, arguments.arguments)


if __name__ == "__main__":
    sys.exit(main())
