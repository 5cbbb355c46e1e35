"""Faults of every kind, one after the other, against a whole stack from outside."""

import os
import random
from pathlib import Path

import pytest
from rich.console import Console

from tests.chaos.rounds import run

# A minute in CI, with the same faults each time; ``make soak`` runs longer, with any.
SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
IS_SOAK = "CHAOS_SECONDS" in os.environ


@pytest.mark.timeout(SECONDS + 400)
def test_no_fault_loses_or_duplicates_a_punch(tmp_path: Path) -> None:
    seed = random.randrange(10**6) if IS_SOAK else 1
    console = Console(width=120)
    console.print(f"seed {seed}")
    outcome = run(SECONDS, seed, tmp_path, console.print)
    console.print(outcome.table())
    assert outcome.faults_of_ours() == []
