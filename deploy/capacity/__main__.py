"""``python -m deploy.capacity [--region R] [--plot PATH]``: print the tables, or draw one."""

import argparse
from pathlib import Path

from deploy.capacity.facts import regions
from deploy.capacity.plot import shift_change_svg
from deploy.capacity.tables import tables


def main() -> None:
    """Read the command line, then print or draw."""
    parser = argparse.ArgumentParser(prog="python -m deploy.capacity", description=__doc__)
    parser.add_argument("--plot", type=Path, help="draw into this SVG file instead")
    parser.add_argument(
        "--region", choices=regions(), help="the costs of this region only; by default of all"
    )
    arguments = parser.parse_args()
    if arguments.plot:
        arguments.plot.write_text(shift_change_svg(), encoding="utf-8")
    else:
        print(tables([arguments.region] if arguments.region else regions()), end="")


if __name__ == "__main__":
    main()
