"""``python -m local keys``: make, list or revoke the access keys of reports."""

import argparse
import json
import sys

from chalicelib.point_record import MAX_INT64
from local.arguments import integer
from local.operator_session import add_operator_arguments, run_command

_TIMEOUT_S = 60.0
_ID = integer(1, MAX_INT64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``keys``."""
    parser.add_argument("--name", help="make a key: what it is for")
    parser.add_argument("--employer", type=_ID, metavar="ID", help="whose records the key reads")
    parser.add_argument(
        "--employee", type=_ID, metavar="ID", help="only those of this employee (default: all)"
    )
    parser.add_argument(
        "--days", type=integer(1), help="for how long the key is valid (default: 365)"
    )
    parser.add_argument("--revoke", type=_ID, metavar="ID", help="revoke the key with this id")
    add_operator_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the new key, the revoked id, or all keys."""
    result = run_command(
        arguments,
        "access-keys",
        _TIMEOUT_S,
        name=arguments.name,
        employerId=arguments.employer,
        employeeId=arguments.employee,
        days=arguments.days,
        revoke=arguments.revoke,
    )
    if isinstance(result, dict) and "key" in result:
        print(result["key"])
        print(
            f"Key {result['id']} is valid until {result['expiresAt']}. It is not shown again.",
            file=sys.stderr,
        )
        return 0
    for each in result if isinstance(result, list) else [result]:
        print(json.dumps(each))
    return 0
