"""The start of a stack shows each step and how long it took."""

import errno
import io
import os
import re

import pytest
from rich.console import Console

from local.startup_display import StartupDisplay


class LostTerminal(io.StringIO):
    """The output of a process whose terminal has gone."""

    def write(self, _: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def shown(*, is_terminal: bool) -> str:
    """Return what two steps and a note print."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=is_terminal, color_system=None, width=80)
    with StartupDisplay(console) as display:
        display.start("PostgreSQL")
        display.start("schema")
        display.note("Port 8000 is in use")
        display.finish("PostgreSQL")
        display.finish("schema", "[dim] applied")
    return output.getvalue()


def test_steps_are_lines_in_a_log() -> None:
    assert re.sub(r"\d\.\d", "0.0", shown(is_terminal=False)).splitlines() == [
        "PostgreSQL: starting",
        "schema: starting",
        "Port 8000 is in use",
        "PostgreSQL: ready after 0.0 s",
        "schema: ready after 0.0 s ([dim] applied)",
    ]


@pytest.mark.parametrize("line", [r"✓ PostgreSQL +0\.\d s", r"✓ schema +0\.\d s \[dim\] applied"])
def test_steps_are_ticked_off_on_a_terminal(line: str) -> None:
    assert re.search(line, shown(is_terminal=True))


def test_note_that_cannot_be_shown_does_not_keep_a_stack_from_its_stop() -> None:
    console = Console(file=LostTerminal())
    with pytest.raises(OSError, match="Input/output"):
        console.print("Stopping")
    StartupDisplay(console).note("Stopping")
