"""``python -m bench NAME …``: measure a ratio beside a limit or a peer, in the same run."""

import argparse
import importlib
import subprocess
import sys

_BENCHES = {
    "burst": "a shift change on the whole stack; beside another checkout, if BESIDE names one",
    "intake": "CPU of a POST and of its parts, beside a bare put_item; and of a cold start",
    "identity": "CPU of validating a token, and of rejecting a POST; cost of row-level security",
    "integration": "records a second, beside the capacity of the legacy",
    "integration_backlog": "claiming and settling with up to a million records waiting",
    "integration_cpu": "CPU of a record and of its parts, against a legacy that answers at once",
    "integration_own": "the same without Postgres; beside another checkout, if BESIDE names one",
    "odata": "a query, beside the same SQL alone",
    "refusals": "CPU of an invalid request, beside an accepted one",
    "replication": "records a second, beside a bare scan and delete and a bare load",
    "replication_cpu": "CPU of a record and of its parts, against an instant DynamoDB endpoint",
    "replication_settings": "records a second around the default of each setting",
    "years": "each step and query with 0.1, 1 and 10 million records of five years (SIZES)",
}


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all, and return the exit status."""
    width = max(map(len, _BENCHES))
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="\n".join(f"  {name:{width}}  {purpose}" for name, purpose in _BENCHES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", type=_known, metavar="NAME", help="benchmarks to run (default: all)"
    )
    names = parser.parse_args(arguments).names or list(_BENCHES)
    if len(names) == 1:
        importlib.import_module(f"bench.{names[0]}").main()
        return 0
    # One process each: cached clients of one benchmark would connect to engines that are gone.
    commands = ([sys.executable, "-m", "bench", name] for name in names)
    return max(subprocess.run(command, check=False).returncode for command in commands)


def _known(name: str) -> str:
    if name not in _BENCHES:
        raise argparse.ArgumentTypeError(
            f"unknown benchmark {name!r}; choose from {', '.join(_BENCHES)}"
        )
    return name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
