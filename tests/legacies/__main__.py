"""Run the server of a recipe of docs/legacies.md, and show each punch as it arrives.

    python -m tests.legacies soap

The profile and what it refers to are written to a directory, ``.local/legacies`` by default.
"""

import argparse
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.legacies.recipes import PROFILES, Recipe

_POLL_S = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.legacies", description=__doc__)
    parser.add_argument("recipe", choices=PROFILES, help="the name of the recipe")
    parser.add_argument("--home", type=Path, default=Path(".local/legacies"), metavar="DIR")
    arguments = parser.parse_args()
    # Ends the server, too. A shell has its background processes ignore SIGINT.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments.home.mkdir(parents=True, exist_ok=True)
    with suppress(KeyboardInterrupt), Recipe.running(arguments.recipe, arguments.home) as recipe:
        print(f'make run ARGS="--legacy {recipe.profile}"', flush=True)
        shown = 0
        while True:
            punches = recipe.server.punches()
            for key, employee, at in punches[shown:]:
                print(f"{at}  employee {employee}  {key}", flush=True)
            shown = len(punches)
            time.sleep(_POLL_S)


if __name__ == "__main__":
    main()
