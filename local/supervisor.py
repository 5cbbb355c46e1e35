"""Keep the processes of a stack running, even if they die or the disk is full.

Invariant: no error of the operating system ends the supervision. On a full disk processes die and
cannot start, and neither their files nor ours can be written. All of it is tried again until it
succeeds, and said once.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_INTERVAL_S = 0.1
_MAX_RESTART_DELAY_S = 5.0
# A process that ran for this long before it died is restarted without delay.
_STABLE_AFTER_S = 10.0
# Below the first the disk counts as full, until it has the second: PostgreSQL's log grows by 16 MB.
_FULL_BYTES = 32 * 2**20
_FREE_BYTES = 64 * 2**20


class Child(Protocol):
    """A process: see ``local.child_process.ChildProcess``."""

    log: Path

    def is_running(self) -> bool: ...
    def exit_reason(self) -> str: ...
    def start(self) -> object: ...
    def record(self) -> None: ...


class Supervisor:
    """Restarts each process of a stack that dies.

    Args:
        home: the directory of the stack.
        children: its processes by name.
        write: writes the file that describes the stack, with the ids of its processes.
        note: shows a line to people.
        clock: returns seconds.
        free_bytes: returns the free space of the directory's disk.
    """

    def __init__(
        self,
        home: Path,
        children: Mapping[str, Child],
        write: Callable[[], None],
        note: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._home = home
        self._children = children
        self._write = write
        self._note = note
        self._clock = clock
        self._free_bytes = free_bytes
        self._delays = dict.fromkeys(children, 0.0)
        self._started_at = dict.fromkeys(children, clock())
        self._is_full = False
        self._is_stale = False  # the file that describes the stack
        self._said: set[str] = set()  # what fails now, and has been said

    def run(self) -> None:
        """Look after the processes. Does not return."""
        while True:
            time.sleep(_INTERVAL_S)
            self.step()

    def step(self) -> None:
        """Restart what has died and is due, and write what could not be written."""
        self._look_at_the_disk()
        for name, child in self._children.items():
            if child.is_running():
                self._attempt(child.record, f"The state of {name} cannot be written")
            elif self._clock() >= self._started_at[name] + self._delays[name]:
                self._restart(name, child)
        if self._is_stale and self._attempt(self._write, "stack.json cannot be written"):
            self._is_stale = False

    def _restart(self, name: str, child: Child) -> None:
        failure = f"{name} cannot be restarted"
        if failure not in self._said:
            self._say(f"{name} died ({child.exit_reason()}) and is restarted. Its log: {child.log}")
        now = self._clock()
        was_stable = now - self._started_at[name] > max(_STABLE_AFTER_S, 2 * self._delays[name])
        self._delays[name] = (
            0.0 if was_stable else min(_MAX_RESTART_DELAY_S, 2 * self._delays[name] + 0.5)
        )
        self._started_at[name] = now
        self._is_stale = True
        self._attempt(child.start, failure)

    def _attempt(self, action: Callable[[], object], failure: str) -> bool:
        """Return whether an action succeeds. If not, say so, once until it does."""
        try:
            action()
        except OSError as error:
            if failure not in self._said:
                self._said.add(failure)
                self._say(f"{failure}: {error.strerror or error}. It is tried again.")
            return False
        self._said.discard(failure)
        return True

    def _look_at_the_disk(self) -> None:
        try:
            free = self._free_bytes(self._home)
        except OSError:  # what uses the directory says so
            return
        if not self._is_full and free < _FULL_BYTES:
            self._is_full = True
            self._say(
                f"The disk of {self._home} is full: {free / 2**20:.0f} MB are left. The stack"
                " stays, refuses what it cannot store, and goes on once there is space."
            )
        elif self._is_full and free >= _FREE_BYTES:
            self._is_full = False
            self._say(f"The disk of {self._home} has space again: {free / 2**20:,.0f} MB.")

    def _say(self, line: str) -> None:
        with suppress(OSError):  # our output may be a file on the same disk
            self._note(line)
