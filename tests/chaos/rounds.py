"""Inject fault after fault, and count at the end what was lost or duplicated."""

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table

from tests.chaos.faults import Fault, all_faults
from tests.chaos.phones import Phones, Punch
from tests.chaos.system import System, small_disk

RECOVERY_S = 60.0


class Stores(Protocol):
    """What can be asked of a system."""

    def at_legacy(self) -> list[str]:
        """Return the keys of the records that the legacy has accepted."""

    def rows(self, entity_set: str, select: str) -> Iterator[dict[str, Any]]:
        """Yield every row of an entity set."""


@dataclass
class KindOfFault:
    """What is known of one kind of fault."""

    times: int = 0
    recovery_s: list[float] = field(default_factory=list)
    accepted: int = 0
    failed_posts: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong_rows: int = 0


@dataclass
class Outcome:
    """What a chaos run has shown.

    Attributes:
        kinds: by kind of fault, with ``none`` for the time between faults.
        never_accepted: punches that were not accepted by the end.
        unknown: keys that the legacy has, and no phone has sent.
        problems: answers to phones that no fault explains.
        omitted: the kinds of fault that could not be injected here, and why.
    """

    kinds: dict[str, KindOfFault]
    never_accepted: int
    unknown: int
    problems: list[str]
    omitted: str = ""

    def table(self) -> Table:
        """Return a table of it for people, a row for each kind of fault."""
        table = Table("fault", caption=self.omitted or None)
        for heading in (
            *("times", "recovered in, s", "worst, s", "accepted", "failed posts"),
            *("lost", "duplicated", "wrong rows"),
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, kind in self.kinds.items():
            recovery = kind.recovery_s or [0.0]
            figures = (kind.accepted, kind.failed_posts, kind.lost, kind.duplicated)
            table.add_row(
                name,
                str(kind.times),
                f"{statistics.median(recovery):.1f}",
                f"{max(recovery):.1f}",
                *map(str, (*figures, kind.wrong_rows)),
            )
        return table

    def faults_of_ours(self) -> list[str]:
        """Return what must not be, in words; empty if every promise held."""
        found = [
            f"{name}: lost {kind.lost}, duplicated {kind.duplicated}, wrong rows {kind.wrong_rows}"
            for name, kind in self.kinds.items()
            if kind.lost or kind.duplicated or kind.wrong_rows
        ]
        if self.never_accepted:
            found.append(f"{self.never_accepted} punches were never accepted")
        if self.unknown:
            found.append(f"{self.unknown} keys of the legacy are no punch that was sent")
        return found + self.problems[:5]


def run(seconds: float, seed: int, home: Path, show: Callable[[str], object] = print) -> Outcome:
    """Run a system for so many seconds under faults in a random order, each kind in turn.

    Args:
        seconds: when no further fault begins, from the start of the phones.
        seed: decides the order, the number and the length of the faults.
        home: an empty directory.
        show: gets a line for each fault.
    """
    chance = random.Random(seed)
    kinds = {"none": KindOfFault()}
    with small_disk(home / "disk") as is_small:
        system = System(home, home / "disk/data")
        try:
            phones = Phones(f"{system.url}/point-record", system.headers())
            phones.start()
            deadline = time.monotonic() + seconds
            for fault in _endless(chance):
                if time.monotonic() > deadline:
                    break
                if is_small or not fault.needs_small_disk:
                    kind = kinds.setdefault(fault.name, KindOfFault())
                    phones.fault = fault.name
                    _happen(fault, system, kind)
                    phones.fault = "none"
                    show(f"{fault.name}: recovered in {kind.recovery_s[-1]:.1f} s")
            never_accepted = phones.finish(RECOVERY_S)
            _wait_settled(system, phones.accepted())
            unknown = judge(system, phones, kinds)
        finally:
            system.close()
    omitted = "" if is_small else "No full disk: only root may mount a small file system."
    return Outcome(kinds, never_accepted, unknown, phones.problems, omitted)


def _endless(chance: random.Random) -> Iterator[Fault]:
    """Yield every kind of fault in a random order, again and again."""
    while True:
        faults = all_faults(chance)
        chance.shuffle(faults)
        yield from faults


def _happen(fault: Fault, system: System, kind: KindOfFault) -> None:
    """Let a fault happen, and measure how long it takes until a punch is delivered again."""
    kind.times += 1
    fault.happen(system)
    repaired_at = time.monotonic()
    system.wait_delivered(RECOVERY_S)
    kind.recovery_s.append(time.monotonic() - repaired_at)


def _wait_settled(system: System, accepted: list[Punch]) -> None:
    """Wait until the legacy has all that was accepted, as long as it gets more of it."""
    ids = {punch.id for punch in accepted}
    missing, since = len(ids), time.monotonic()
    while missing and time.monotonic() < since + RECOVERY_S:
        time.sleep(1)
        now_missing = len(ids - set(system.at_legacy()))
        if now_missing < missing:
            missing, since = now_missing, time.monotonic()
    time.sleep(2)  # the last answers are settled in Postgres


def judge(system: Stores, phones: Phones, kinds: dict[str, KindOfFault]) -> int:
    """Compare what the phones know with OData, with the log rows and with the legacy.

    Returns:
        How many keys of the legacy no phone has sent.
    """
    at_legacy = Counter(system.at_legacy())
    records: Counter[str] = Counter()
    employees: Counter[int] = Counter()
    delivered = set()
    for row in system.rows("PointRecords", "id,employeeId,status"):
        records[row["id"]] += 1
        employees[row["employeeId"]] += 1
        if row["status"] == "INTEGRATED":
            delivered.add(row["id"])
    log = Counter(
        row["pointId"]
        for row in system.rows("IntegrationLogs", "pointId,status")
        if row["status"] == "INTEGRATED"
    )
    for punch in phones.accepted():
        kind = kinds[punch.fault]
        kind.accepted += 1
        kind.lost += not (at_legacy[punch.id] and punch.id in delivered)
        # Each phone has one punch, so a second record of its employee is a duplicate.
        kind.duplicated += (
            max(at_legacy[punch.id], records[punch.id], employees[punch.body["employeeId"]]) > 1
        )
        kind.wrong_rows += log[punch.id] != 1
    for name, count in phones.failed.items():
        kinds[name].failed_posts = count
    return len(set(at_legacy) - set(records))
