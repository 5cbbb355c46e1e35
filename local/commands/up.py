"""``python -m local up``: the whole system on this machine, until Ctrl-C or SIGTERM."""

import argparse
import fcntl
import getpass
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from chalicelib.principal import Role
from local.arguments import http_url, number, whole
from local.process import StartError, end_leftovers
from local.stack import USUAL_PORTS, Options, Stack
from local.stack_file import DATA
from local.tokens import make_token, read_key

_TOKENS_LAST_S = 12 * 3_600.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _EndedError(BaseException):
    """Somebody told us to end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``up``."""
    usual = ", ".join(f"{name} {port}" for name, port in USUAL_PORTS.items())
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        metavar="DIR",
        help=f"where its data and logs are ({DATA}). On {DATA} it takes the usual ports where they"
        f" are free ({usual}), elsewhere any free ones",
    )
    parser.add_argument("--port", type=whole(0, 65_535), help="of the API; 0 takes any free one")
    parser.add_argument(
        "--tick",
        type=number(),
        default=5.0,
        metavar="SECONDS",
        help="between runs of a schedule (5); 0 runs none: see tick",
    )
    parser.add_argument(
        "--legacy",
        type=http_url,
        metavar="URL",
        help="POST records there and start no simulated legacy",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run a stack; return 0 when it was told to end, 1 when it could not start."""
    console = Console(highlight=False, soft_wrap=True)
    options = Options(
        home=arguments.data.resolve(),
        port=arguments.port,
        usual_ports=arguments.data.resolve() == DATA.resolve(),
        tick_s=arguments.tick,
        legacy_url=arguments.legacy,
    )
    stack = Stack(options, lambda line: console.print(escape(line), style="dim"))
    try:
        with _only_one(options.home):
            _run(stack, options, console)
    except StartError as error:
        console.print(escape(str(error)), style="red")
        return 1
    return 0


def _run(stack: Stack, options: Options, console: Console) -> None:
    """Start the stack and keep it up until a signal.

    Raises:
        StartError: it could not start; nothing is left of it.
    """
    for each in _SIGNALS:
        signal.signal(each, _end)
    try:
        for name in end_leftovers(options.home):
            console.print(f"Ended {name}, left over from a stack that was killed", style="dim")
        stack.start()
        console.print(_welcome(stack.urls, options))
        stack.watch()
    except _EndedError:
        console.print("Stopping …", style="dim")
    finally:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        stack.stop()


def _end(signal_number: int, frame: FrameType | None) -> None:
    del signal_number, frame
    raise _EndedError


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the directory: the kernel lets go of it when this process ends, however it ends.

    Raises:
        StartError: another stack holds it, or it cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{home} cannot be a stack's directory: {error.strerror}.") from error
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip()
            raise StartError(
                f"A stack already runs on {home} (process {holder}). Stop it, or choose another"
                " directory with --data."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _welcome(urls: dict[str, str], options: Options) -> str:
    """Say where everything is and how to try it."""
    api, legacy = urls["api"], urls["legacy"]
    punch = '{"employeeId": 7, "employerId": 1, "includedAt": "2024-05-06T08:00:00-03:00"}'
    report = "" if options.legacy_url else f"\n    curl {legacy}/report"
    key = read_key(options.home)
    employee = make_token(key, Role.EMPLOYEE, 1, 7, lasts_s=_TOKENS_LAST_S)
    employer = make_token(key, Role.EMPLOYER, 1, lasts_s=_TOKENS_LAST_S)
    who = getpass.getuser()
    operator = make_token(key, Role.INTEGRATION, lasts_s=_TOKENS_LAST_S, subject=who)
    data = "" if options.usual_ports else f" --data {options.home}"
    pace = (
        f"Both schedules run every {options.tick_s:g} s: after the second run the legacy has it."
        if options.tick_s
        else "No schedule runs by itself. To run one: .venv/bin/python -m local tick replicate"
        + data
    )
    return escape(
        f"""
punch-clock is ready.

    API         {api}
    PostgreSQL  {urls["postgres"]}
    DynamoDB    {urls["dynamodb"]}
    Legacy      {legacy}
    Logs        {options.home / "log"}

Send a punch as employee 7 of employer 1, see it again by OData as employer 1, and at the legacy:

    EMPLOYEE={employee}
    EMPLOYER={employer}
    curl -i {api}/point-record -H "Authorization: Bearer $EMPLOYEE" \\
      -H 'Content-Type: application/json' -d '{punch}'
    curl '{api}/odata/PointRecords?$select=id,includedAt,status' \\
      -H "Authorization: Bearer $EMPLOYER"{report}

Whoever runs the service sees all, and how each stage is:

    OPERATOR={operator}
    curl {api}/health -H "Authorization: Bearer $OPERATOR"

Other tokens: .venv/bin/python -m local token --role employer --employer 121{data}

{pace}
Ctrl-C stops everything and keeps the data.
"""
    )
