"""The CPU of a stack by part: each part with what it has started, running or ended."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.stack_cpu import cpu_by_part

BURN = "import time\nwhile time.process_time() < {}: pass\n"
# Burns CPU in a child that ends and in one that goes on, then reports and waits.
PART = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN.format(0.2)!r}])
code = {BURN.format(0.2)!r} + "print(flush=True); import sys; sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.read(1)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def part() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", PART], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.read(1)
        yield process.pid


def test_part_includes_what_it_started(part: int) -> None:
    assert 0.35 < cpu_by_part({"postgres": part})["postgres"] < 2


def test_processes_of_the_api_are_parts_of_their_own(part: int) -> None:
    cpu_s = cpu_by_part({"api": part})

    assert cpu_s.keys() == {"api 1", "api 2"}
    assert all(0.15 < each < 1 for each in cpu_s.values())
