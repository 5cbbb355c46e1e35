"""``python -m local``: the whole system on one machine, and ways to look at it."""

import argparse
import importlib
import sys

from chalicelib.errors import PunchClockError
from local.process import pass_by_proxies
from local.stack_file import NotRunningError

# Each is a module of ``commands``, imported only when it is asked for.
_COMMANDS = {
    "up": "start everything, until Ctrl-C",
    "token": "make a token for a role",
    "status": "show the depth and age of each stage",
    "tick": "run a schedule once, now",
    "reconcile": "prove that all that was accepted is somewhere on its way",
    "release": "send an item of the quarantine on its way",
    "replay": "have parked records go again, by filter",
    "burst": "send punches like a shift change and follow them to the end",
}


def main(arguments: list[str]) -> int:
    """Run the command that the arguments name and return its exit status.

    What it could not do, for want of a stack or for what the service refuses, is 1 and a sentence.
    """
    pass_by_proxies()
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
