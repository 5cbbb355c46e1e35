"""``python -m local erase``: erase a person's evidence, and perhaps the punches, in every store."""

import argparse
import json

from local.arguments import integer
from local.operator_session import add_operator_arguments, run_in_steps

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
    is_damaged = False
    for result in run_in_steps(
        arguments,
        "erase",
        _TIMEOUT_S,
        employer=arguments.employer,
        employee=arguments.employee,
        punches=arguments.punches,
    ):
        print(json.dumps(result, indent=2))
        is_damaged = is_damaged or bool(result["damaged"])
    return 1 if is_damaged else 0
