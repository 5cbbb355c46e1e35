"""Show the steps of a start: which are under way, and how long each took.

A terminal gets one line per step, with a spinner until the step is done. A file or pipe gets one
line when a step starts and one when it is done.
"""

import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

_NAME_WIDTH = 12


class StackConsole(Console):
    """The output of a stack, which runs on in silence once nobody reads it."""

    def on_broken_pipe(self) -> None:
        """Write nothing more. Rich would end the process."""
        with suppress(SystemExit):
            super().on_broken_pipe()


class StartupDisplay:
    """The steps of a start on a console. A context manager: it draws while it is entered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn(f"{{task.description:<{_NAME_WIDTH}}}"),
            _SecondsColumn(),
            TextColumn("[dim]{task.fields[detail]}[/dim]"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def start(self, step: str) -> None:
        """Show a step as under way."""
        self._started_at[step] = time.monotonic()
        self._tasks[step] = self._progress.add_task(step, total=1, detail="")
        if not self._console.is_terminal:
            self._console.print(f"{step}: starting", markup=False)

    def finish(self, step: str, detail: str = "") -> None:
        """Show a step as done, with the time that it took."""
        took_s = time.monotonic() - self._started_at[step]
        self._progress.update(self._tasks[step], completed=1, detail=escape(detail))
        if not self._console.is_terminal:
            suffix = f" ({detail})" if detail else ""
            self._console.print(f"{step}: ready after {took_s:.1f} s{suffix}", markup=False)

    def note(self, line: str) -> None:
        """Show a line above the steps, or nothing: the terminal may be gone, or the disk full."""
        with suppress(OSError):
            self._console.print(escape(line), style="dim")


class _SecondsColumn(TextColumn):
    """The seconds since a step started, or that it took."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        elapsed_s = task.finished_time if task.finished else task.elapsed
        return Text(f"{elapsed_s or 0.0:4.1f} s")
