"""``python -m local token``: print a token that a stack accepts, signed with its key."""

import argparse
import getpass
import sys

from chalicelib.point_record import MAX_INT64
from chalicelib.principal import Role
from local.arguments import integer, number
from local.stack_file import add_data_argument
from local.tokens import key_file, make_token, read_key

_DEFAULT_HOURS = 12.0
_ID = integer(1, MAX_INT64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``token``."""
    parser.add_argument(
        "--role",
        choices=[role.value for role in Role],
        default=Role.INTEGRATION,
        help=f"the role of the token (default: {Role.INTEGRATION}, an operator)",
    )
    parser.add_argument(
        "--employer",
        type=_ID,
        metavar="ID",
        help="the employer; required for the roles employer and employee",
    )
    parser.add_argument(
        "--employee", type=_ID, metavar="ID", help="the employee; required for the role employee"
    )
    parser.add_argument(
        "--hours",
        type=number(),
        default=_DEFAULT_HOURS,
        help=f"the lifetime of the token (default: {_DEFAULT_HOURS:g})",
    )
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the token; return 1 if the stack's key cannot be read, 2 if the role needs an id."""
    role, missing = Role(arguments.role), []
    if role is not Role.INTEGRATION and arguments.employer is None:
        missing.append("--employer")
    if role is Role.EMPLOYEE and arguments.employee is None:
        missing.append("--employee")
    if missing:
        print(f"A token of the role {role} needs {' and '.join(missing)}.", file=sys.stderr)
        return 2
    try:
        key = read_key(arguments.data)
    except (FileNotFoundError, NotADirectoryError):
        path = key_file(arguments.data)
        print(f"{path} does not exist. Start a stack first, with: make run", file=sys.stderr)
        return 1
    except PermissionError:
        path = key_file(arguments.data)
        print(f"{path} cannot be read: the stack belongs to another user.", file=sys.stderr)
        return 1
    lasts_s = arguments.hours * 3_600
    ids = (arguments.employer, arguments.employee)
    print(make_token(key, role, *ids, lasts_s=lasts_s, subject=getpass.getuser()))
    return 0
