"""Let the commands of ``python -m local`` act as an operator: with a token, and audited.

The service's audit log lines go to ``log/operator.log`` in the stack's directory.
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
from local.stack_file import add_data_argument, load_environment
from local.tokens import make_token, read_key

_TOKEN_LIFETIME_S = 60.0


def add_operator_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that every operator command has."""
    parser.add_argument(
        "--token",
        help="act as the subject of this token (default: your user name, with a token that the"
        " stack's key signs)",
    )
    parser.add_argument("--comment", metavar="TEXT", help="the reason, for the audit log")
    add_data_argument(parser)


def run_command(
    arguments: argparse.Namespace, function: str, timeout_s: float, **members: Any
) -> Any:
    """Run an operator command of a running stack in this process, and return its result.

    Args:
        arguments: those of ``add_operator_arguments``.
        function: the name of the command's function, such as ``reconcile-period``.
        timeout_s: the timeout of the function.
        members: the members of the command; those that are None are left out.

    Raises:
        NotRunningError: no stack runs on the directory.
        PunchClockError: the service refuses the command.
    """
    load_environment(arguments.data)
    import app  # noqa: PLC0415 - the app reads the environment
    from local.lambda_context import LambdaContext  # noqa: PLC0415 - it imports the app

    event = operator_event(arguments, **members)
    with audit_to_file(arguments.data):
        return getattr(app, function.replace("-", "_"))(event, LambdaContext(function, timeout_s))


def run_in_steps(
    arguments: argparse.Namespace, function: str, timeout_s: float, **members: Any
) -> Iterator[Any]:
    """Run a command again and again, from the cursor of each result, until one has no cursor.

    Arguments and errors are those of ``run_command``.
    """
    cursor: str | None = None
    while True:
        result = run_command(arguments, function, timeout_s, **members, cursor=cursor)
        yield result
        cursor = result["cursor"]
        if cursor is None:
            return


def operator_event(arguments: argparse.Namespace, **members: Any) -> dict[str, Any]:
    """Return the event of an operator command: a token and the members that are not None."""
    given = {**members, "comment": arguments.comment}
    token = arguments.token or operator_token(arguments.data)
    return {"token": token, **{name: each for name, each in given.items() if each is not None}}


def operator_token(home: Path) -> str:
    """Return an operator's token, valid for a minute, for the user who runs this process."""
    user = getpass.getuser()
    return make_token(read_key(home), Role.INTEGRATION, lasts_s=_TOKEN_LIFETIME_S, subject=user)


@contextmanager
def audit_to_file(home: Path) -> Iterator[None]:
    """Write the audit log to the stack's directory instead of standard output."""
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
