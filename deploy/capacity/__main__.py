"""``python -m deploy.capacity [--plot PATH]``: print the tables, or draw a shift change."""

import argparse
from pathlib import Path

from deploy.capacity.plot import shift_change_svg
from deploy.capacity.tables import tables


def main() -> None:
    """Read the command line, then print or draw."""
    parser = argparse.ArgumentParser(prog="python -m deploy.capacity", description=__doc__)
    parser.add_argument("--plot", type=Path, help="draw into this SVG file instead")
    arguments = parser.parse_args()
    if arguments.plot:
        arguments.plot.write_text(shift_change_svg(), encoding="utf-8")
    else:
        print(tables(), end="")


if __name__ == "__main__":
    main()
