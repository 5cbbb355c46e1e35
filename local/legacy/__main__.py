"""Start the simulated legacy HR system alone: ``python -m local.legacy``."""

import argparse
import asyncio
from pathlib import Path

from local.legacy.server import serve


def main() -> None:
    """Parse the command line, and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m local.legacy", description="Start the simulated legacy HR system alone."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0: any free one")
    parser.add_argument("--journal", type=Path, help="file that stores the accepted records")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port, arguments.journal))


if __name__ == "__main__":
    main()
