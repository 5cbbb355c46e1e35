"""``python -m bench NAME …``: each measures a ratio beside a limit or a peer in the same run."""

import argparse
import importlib
import subprocess
import sys

_BENCHES = {
    "intake": "CPU of a POST, beside its parts",
    "identity": "CPU of a token's check, of a refusal beside an acceptance, and what policies cost",
    "integration": "records a second, beside what the legacy can take",
    "integration_backlog": "the same with up to a million records waiting",
    "integration_own": "CPU of a record, against a legacy that answers at once, with its parts",
    "odata": "a query, beside the same SQL run bare",
    "refusals": "CPU of an invalid request, beside one that is accepted",
    "replication": "records a second, beside what the stores give by themselves",
    "replication_own": "CPU of a record, against a DynamoDB that answers at once, with its parts",
    "replication_settings": "records a second of replication about each setting's default",
}


def main(arguments: list[str]) -> int:
    """Run the named benches, all if none is named, and return the exit status."""
    width = max(map(len, _BENCHES))
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join(f"  {name:{width}}  {purpose}" for name, purpose in _BENCHES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help="all without any")
    names = parser.parse_args(arguments).names or list(_BENCHES)
    if len(names) == 1:
        importlib.import_module(f"bench.{names[0]}").main()
        return 0
    # Each in a process of its own: what one has built would serve the next from engines long gone.
    commands = ([sys.executable, "-m", "bench", name] for name in names)
    return max(subprocess.run(command, check=False).returncode for command in commands)


def _known(name: str) -> str:
    if name not in _BENCHES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(_BENCHES)}")
    return name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
