"""Run the whole punch-clock system on this machine, and inspect and operate it."""

import argparse
import importlib
import os
import sys
from io import TextIOWrapper

from chalicelib.errors import PunchClockError
from local.loopback import bypass_proxies
from local.stack_file import NotRunningError

# Each command is a module of ``commands``, imported only if it is chosen.
_COMMANDS = {
    "up": "start everything and run until Ctrl-C",
    "token": "print an access token for a role",
    "status": "show how many records each stage holds, and the age of the oldest",
    "tick": "run a schedule once, now",
    "reconcile": "check that every accepted record is in a store",
    "release": "list quarantined items, or return one to the pipeline",
    "keys": "make, list or revoke the access keys of reports",
    "replay": "return the parked records that a filter selects to the queue",
    "restore": "put back, from the journal, what PostgreSQL has lost",
    "export": "print what the stack has of a person",
    "erase": "erase a person's evidence, and perhaps the punches, in every store",
    "legacy": "check how records are sent to a legacy, and how its responses are judged",
    "burst": "send punches like a shift change and account for every one of them",
}


def main(arguments: list[str]) -> int:
    """Run the command that the arguments name and return its exit status.

    If no stack runs, or the service refuses the command, print why and return 1.
    """
    bypass_proxies()
    # Data and logs have personal data; others with an account on this machine must not read them.
    os.umask(0o077)
    if isinstance(sys.stdout, TextIOWrapper):  # its encoding may lack some characters
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name in arguments[:1]:
            importlib.import_module(f"local.commands.{name}").add_arguments(command)
    parsed = parser.parse_args(arguments)
    module = importlib.import_module(f"local.commands.{parsed.command}")
    try:
        status: int = module.run(parsed)
    except (NotRunningError, PunchClockError) as error:
        print(error, file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
