"""``python -m local export``: print what a running stack has of a person."""

import argparse
import json
import sys

from local.arguments import integer
from local.operator_session import add_operator_arguments, run_in_steps

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
    for result in run_in_steps(
        arguments,
        "export",
        _TIMEOUT_S,
        employer=arguments.employer,
        employee=arguments.employee,
        format=arguments.format,
    ):
        if arguments.format == "csv":
            sys.stdout.write(result["csv"])
        else:
            print(json.dumps(result))
    return 0
