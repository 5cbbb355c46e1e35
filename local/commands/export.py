"""``python -m local export``: print what a running stack has of a person."""

import argparse
import json
import sys

from local.arguments import integer
from local.operator_session import add_operator_arguments, audit_to_file, operator_event
from local.stack_file import load_environment

_TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``export``."""
    parser.add_argument("--employer", type=integer(1), required=True, help="the employer's id")
    parser.add_argument("--employee", type=integer(1), required=True, help="the employee's id")
    parser.add_argument(
        "--format",
        choices=("json", "csv"),
        default="json",
        help="json has all, in one object a page; csv has the records only (default: json)",
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print every page on standard output."""
    load_environment(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import LambdaContext  # noqa: PLC0415 - it imports the app

    cursor: str | None = None
    while True:
        event = operator_event(
            arguments,
            employer=arguments.employer,
            employee=arguments.employee,
            format=arguments.format,
            cursor=cursor,
        )
        with audit_to_file(arguments.data):
            result = app.export(event, LambdaContext("export", _TIMEOUT_S))
        if arguments.format == "csv":
            sys.stdout.write(result["csv"])
        else:
            print(json.dumps(result))
        cursor = result["cursor"]
        if cursor is None:
            return 0
