"""``python -m local erase``: erase a person's evidence, and perhaps the punches, in every store."""

import argparse
import json

from local.arguments import integer
from local.operator_session import add_operator_arguments, audit_to_file, operator_event
from local.stack_file import load_environment

_TIMEOUT_S = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``erase``."""
    parser.add_argument("--employer", type=integer(1), required=True, help="the employer's id")
    parser.add_argument("--employee", type=integer(1), required=True, help="the employee's id")
    parser.add_argument(
        "--punches",
        action="store_true",
        help="erase the punches, too, if the law lets you (default: device and position only)",
    )
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Erase, and print what was changed where; return 1 if a file of the journal is damaged."""
    load_environment(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import LambdaContext  # noqa: PLC0415 - it imports the app

    cursor: str | None = None
    is_damaged = False
    while True:
        event = operator_event(
            arguments,
            employer=arguments.employer,
            employee=arguments.employee,
            punches=arguments.punches,
            cursor=cursor,
        )
        with audit_to_file(arguments.data):
            result = app.erase(event, LambdaContext("erase", _TIMEOUT_S))
        print(json.dumps(result, indent=2))
        is_damaged = is_damaged or bool(result["damaged"])
        cursor = result["cursor"]
        if cursor is None:
            return 1 if is_damaged else 0
