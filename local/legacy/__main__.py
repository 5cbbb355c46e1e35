"""``python -m local.legacy``: the simulated legacy HR system on its own."""

import argparse
import asyncio
from pathlib import Path

from local.legacy.server import serve


def main() -> None:
    """Read the command line and serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m local.legacy", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--journal", type=Path, help="file in which accepted records are kept")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port, arguments.journal))


if __name__ == "__main__":
    main()
