"""How the commands act as an operator: with a token, through the check that every way in has.

What the log tells of it is kept in ``log/operator.log`` of the stack's directory.
"""

import argparse
import getpass
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chalicelib import telemetry
from chalicelib.principal import Role
from local.stack_file import add_data_argument
from local.tokens import make_token, read_key

_TOKEN_LASTS_S = 60.0


def add_operator_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command of an operator takes."""
    parser.add_argument("--token", help="whose action it is (one of your own, by the stack's key)")
    parser.add_argument("--comment", metavar="TEXT", help="for the log: why")
    add_data_argument(parser)


def asked(arguments: argparse.Namespace, **members: Any) -> dict[str, Any]:
    """Return the event of an action: those of its members that are not None, and a token."""
    given = {**members, "comment": arguments.comment}
    token = arguments.token or own_token(arguments.data)
    return {"token": token, **{name: each for name, each in given.items() if each is not None}}


def own_token(home: Path) -> str:
    """Return a token of whoever runs this, good for a moment, signed with a stack's key."""
    who = getpass.getuser()
    return make_token(read_key(home), Role.INTEGRATION, lasts_s=_TOKEN_LASTS_S, subject=who)


@contextmanager
def audited(home: Path) -> Iterator[None]:
    """Keep what is told of operators' actions with the other logs of a stack."""
    log = home / "log" / "operator.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(telemetry.JsonLines())
    telemetry.audit_logger.addHandler(handler)
    telemetry.audit_logger.propagate = False
    try:
        yield
    finally:
        telemetry.audit_logger.propagate = True
        telemetry.audit_logger.removeHandler(handler)
        handler.close()
