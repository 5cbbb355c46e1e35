"""``python -m local up``: run the whole system on this machine until Ctrl-C or SIGTERM."""

import argparse
import fcntl
import getpass
import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

import psutil
from rich.console import Console
from rich.markup import escape

from chalicelib.principal import Role
from local.arguments import integer, number, url_or_file
from local.child_process import StartError, end_orphans
from local.legacy_profile import ProfileError, check_profile, read_profile, with_secrets
from local.loopback import NoFreePortError
from local.private_directory import create, is_for_a_stack, make_private
from local.stack import DEFAULT_PORTS, Stack, StackOptions
from local.stack_file import DEFAULT_HOME, LOCK
from local.startup_display import StackConsole, StartupDisplay
from local.tokens import make_token, read_key

_TOKEN_LIFETIME_S = 12 * 3_600.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _StopSignalError(BaseException):
    """A signal asked the process to end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``up``."""
    defaults = ", ".join(f"{name} {port}" for name, port in DEFAULT_PORTS.items())
    parser.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_HOME,
        metavar="DIR",
        help=f"the directory for data and logs (default: {DEFAULT_HOME}). The default directory's"
        f" stack uses the default ports where they are free ({defaults}); any other uses random"
        " free ports",
    )
    parser.add_argument(
        "--port", type=integer(0, 65_535), help="the port of the API; 0 chooses any free port"
    )
    parser.add_argument(
        "--workers",
        type=integer(1, 64),
        default=os.cpu_count() or 1,
        help="how many processes serve the API (default: one for each core)",
    )
    parser.add_argument(
        "--tick",
        type=number(),
        default=5.0,
        metavar="SECONDS",
        help="the interval between two runs of replicate and of integrate (default: 5); reconcile"
        " runs every hour. 0 runs no schedule, for use with the command tick",
    )
    parser.add_argument(
        "--legacy",
        type=url_or_file,
        metavar="URL|FILE",
        help="send records to this URL, or to the legacy that this profile describes"
        " (docs/legacies.md), instead of to a simulated one",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run a stack; return 0 if a signal stopped it, 1 if it could not start."""
    console = StackConsole(highlight=False, soft_wrap=True)
    try:
        legacy = _legacy_settings(arguments.legacy)
    except ProfileError as error:
        console.print(escape(str(error)), style="red")
        return 1
    options = StackOptions(
        home=arguments.data.resolve(),
        port=arguments.port,
        default_ports=arguments.data.resolve() == DEFAULT_HOME.resolve(),
        workers=arguments.workers,
        tick_s=arguments.tick,
        legacy=legacy,
    )
    try:
        with _exclusive(options.home):
            _run(options, console)
    except (StartError, NoFreePortError, OSError) as error:
        console.print(escape(str(error)), style="red")
        return 1
    return 0


def _legacy_settings(legacy: str | Path | None) -> dict[str, str]:
    """Return the settings of the legacy that an argument names; none for the simulated legacy.

    Raises:
        ProfileError: the profile is invalid.
    """
    if legacy is None:
        return {}
    if isinstance(legacy, str):
        return {"LEGACY_URL": legacy}
    profile = read_profile(legacy)
    check_profile(profile)
    return with_secrets(profile)


def _run(options: StackOptions, console: Console) -> None:
    """Start the stack and keep it running until a signal.

    Raises:
        StartError: the stack could not start; none of its processes is left.
    """
    display = StartupDisplay(console)
    stack = Stack(options, display)
    for each in _SIGNALS:
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:  # as by nohup
            signal.signal(each, _request_stop)
    try:
        for name in end_orphans(options.home):
            display.note(f"Ended {name}, which a killed stack had left running")
        with display:
            stack.start()
        took_s = time.time() - psutil.Process().create_time()
        console.print(_welcome(stack.urls, options))
        console.print(f"Ready in {took_s:.1f} s. Ctrl-C stops everything and keeps the data.")
        stack.watch()
    except _StopSignalError:
        display.note("Stopping …")
    finally:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        stack.stop()


def _request_stop(signal_number: int, frame: FrameType | None) -> None:
    del signal_number, frame
    raise _StopSignalError


@contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    """Lock the directory. The kernel releases the lock when this process ends, for any reason.

    Raises:
        StartError: another stack holds the lock, the directory cannot be created, or it has files
            of something else.
    """
    with _open_lock(home) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip()
            raise StartError(
                f"A stack already runs on {home} (process {holder}). Stop it, or choose another"
                " directory with --data."
            ) from error
        try:
            make_private(home)
        except OSError as error:
            raise _unusable(home, error) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _open_lock(home: Path) -> TextIO:
    """Open the file of the lock. The directory is created, if need be, but not changed yet."""
    try:
        create(home)
        if is_for_a_stack(home):
            return (home / LOCK).open("a+")
    except OSError as error:
        raise _unusable(home, error) from error
    raise StartError(
        f"{home} has files, and none of a stack. Choose an empty directory with --data, or one that"
        " does not exist: a stack closes its directory to other users."
    )


def _unusable(home: Path, error: OSError) -> StartError:
    return StartError(f"{home} cannot be the stack's directory: {error.strerror}.")


def _welcome(urls: dict[str, str], options: StackOptions) -> str:
    """Return the text that says where everything is and how to try it."""
    api, legacy = urls["api"], urls["legacy"]
    punch = '{"employeeId": 7, "employerId": 1, "includedAt": "2024-05-06T08:00:00-03:00"}'
    report = "" if options.legacy else f"\n    curl {legacy}/report"
    key = read_key(options.home)
    employee = make_token(key, Role.EMPLOYEE, 1, 7, lasts_s=_TOKEN_LIFETIME_S)
    employer = make_token(key, Role.EMPLOYER, 1, lasts_s=_TOKEN_LIFETIME_S)
    user = getpass.getuser()
    operator = make_token(key, Role.INTEGRATION, lasts_s=_TOKEN_LIFETIME_S, subject=user)
    data = "" if options.default_ports else f" --data {shlex.quote(str(options.home))}"
    schedules = (
        f"Schedules run every {options.tick_s:g} s. After two runs a punch is at the legacy."
        if options.tick_s
        else "No schedule runs automatically. Run one with:"
        f" .venv/bin/python -m local tick replicate{data}"
    )
    return escape(
        f"""
punch-clock is ready.

    Console     {api}/console#token={operator}
    API         {api}
    PostgreSQL  {urls["postgres"].partition("?")[0]}
    DynamoDB    {urls["dynamodb"]}
    Legacy      {legacy}
    Logs        {options.home / "log"}

Send a punch as employee 7 of employer 1, read it with OData as employer 1, then see it at the
legacy:

    EMPLOYEE={employee}
    EMPLOYER={employer}
    curl -i {api}/point-record -H "Authorization: Bearer $EMPLOYEE" \\
      -H 'Content-Type: application/json' -d '{punch}'
    curl '{api}/odata/PointRecords?$select=id,includedAt,status' \\
      -H "Authorization: Bearer $EMPLOYER"{report}

Open the console in a browser: the link signs you in as an operator. An operator may read every
record, and the state of each stage:

    OPERATOR={operator}
    curl {api}/health -H "Authorization: Bearer $OPERATOR"

Make other tokens with: .venv/bin/python -m local token --role employer --employer 121{data}

{schedules}"""
    )
