"""``python -m local token``: a token for a stack, signed with its key."""

import argparse
import getpass
import sys

from chalicelib.point_record import MAX_INT64
from chalicelib.principal import Role
from local.arguments import number, whole
from local.stack_file import add_data_argument
from local.tokens import key_file, make_token, read_key

_HOURS = 12.0
_ID = whole(1, MAX_INT64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``token``."""
    parser.add_argument("--role", choices=[role.value for role in Role], default=Role.INTEGRATION)
    parser.add_argument("--employer", type=_ID, metavar="ID", help="whose token it is, or of whom")
    parser.add_argument("--employee", type=_ID, metavar="ID", help="whose token it is")
    parser.add_argument("--hours", type=number(), default=_HOURS, help=f"it lasts ({_HOURS:g})")
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the token; return 1 if there is no key, 2 if the role lacks an id."""
    role, wanted = Role(arguments.role), []
    if role is not Role.INTEGRATION and arguments.employer is None:
        wanted.append("--employer")
    if role is Role.EMPLOYEE and arguments.employee is None:
        wanted.append("--employee")
    if wanted:
        print(f"A token of the role {role} needs {' and '.join(wanted)}.", file=sys.stderr)
        return 2
    try:
        key = read_key(arguments.data)
    except (FileNotFoundError, NotADirectoryError):
        where = key_file(arguments.data)
        print(f"There is no {where}: start a stack first, with make run", file=sys.stderr)
        return 1
    lasts_s = arguments.hours * 3_600
    ids = (arguments.employer, arguments.employee)
    print(make_token(key, role, *ids, lasts_s=lasts_s, subject=getpass.getuser()))
    return 0
