"""``python -m local legacy check``: show a request to a legacy, and judge a response."""

import argparse
import os
import sys
from select import select

from local.arguments import existing_file, json_text
from local.legacy_profile import check_profile, read_profile

# A program that pipes a response in needs some time.
_SILENCE_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``legacy``."""
    parser.add_argument(
        "action",
        choices=["check"],
        help="print the request for a sample record, with secrets masked, and judge the response"
        " on standard input, as curl -i prints it; send nothing",
    )
    parser.add_argument(
        "--legacy",
        type=existing_file,
        metavar="FILE",
        help="the profile of the legacy (default: the LEGACY_… variables of the environment)",
    )
    parser.add_argument(
        "--record",
        type=json_text,
        metavar="JSON",
        help="the punch to show or send, as a client would POST it (default: a sample)",
    )
    parser.add_argument(
        "--send",
        action="store_true",
        help="send the record, and judge the response of the legacy. The exit status is 0 only if"
        " the record was delivered",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the result of the check; return 1 if the record was sent and not delivered."""
    if arguments.legacy:
        profile = read_profile(arguments.legacy)
        check_profile(profile)  # names the setting; the service reveals less to its clients
        os.environ.update(profile)
    from chalicelib import operator_commands  # noqa: PLC0415 - the service reads the environment
    from chalicelib.integrator.outcome import Outcome  # noqa: PLC0415 - with the service

    event = {"record": arguments.record, "send": arguments.send}
    if not arguments.send and sys.stdin and not sys.stdin.isatty():
        event["response"] = _read_response() or None
    result = operator_commands.check_legacy(event)
    print(result.request)
    for each in result.warnings:
        print(f"Warning: {each}", file=sys.stderr)
    if result.outcome is None:
        return 0
    decided_by = result.decided_by or "the default rules"
    print(f"\nThe response is judged {result.outcome} by {decided_by}.")
    print(f"{result.record}\nIts log: {result.log}")
    return 1 if arguments.send and result.outcome != Outcome.DELIVERED else 0


def _read_response() -> bytes:
    """Read standard input to its end; say so if nothing comes, as from the stdin that ssh opens."""
    if not select([sys.stdin], [], [], _SILENCE_S)[0]:
        print(
            "Waiting for a response on standard input. If there is none, add < /dev/null",
            file=sys.stderr,
        )
    return sys.stdin.buffer.read()
