"""What chaos calls lost, duplicated or wrong."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.phones import Phones, Punch
from tests.chaos.rounds import KindOfFault, Outcome, judge

A = {"id": "a", "pointId": "a", "employeeId": 1, "status": "INTEGRATED"}
AGAIN = A | {"id": "b", "pointId": "b"}
AWAITING = A | {"status": "AWAITING"}


class Stores:
    """What the stores and the legacy have at the end."""

    def __init__(self, records: list[Any], log: list[Any], at_legacy: list[str]) -> None:
        self._rows = {"PointRecords": records, "IntegrationLogs": log}
        self.at_legacy = lambda: at_legacy

    def rows(self, entity_set: str, select: str) -> Iterator[dict[str, Any]]:
        assert select
        yield from self._rows[entity_set]


@pytest.mark.parametrize(
    ("records", "log", "at_legacy", "found"),
    [
        ([A], [A], ["a"], (0, 0, 0, 0)),
        ([A], [A, AWAITING], ["a"], (0, 0, 0, 0)),
        ([A], [A], [], (1, 0, 0, 0)),
        ([AWAITING], [AWAITING], ["a"], (1, 0, 1, 0)),
        ([], [], [], (1, 0, 1, 0)),
        ([A, AGAIN], [A, AGAIN], ["a", "b"], (0, 1, 0, 0)),
        ([A], [A], ["a", "a"], (0, 1, 0, 0)),
        ([A], [A, A], ["a"], (0, 0, 1, 0)),
        ([A], [A], ["a", "z"], (0, 0, 0, 1)),
    ],
)
def test_judge_compares_the_phones_with_every_store(
    records: list[Any], log: list[Any], at_legacy: list[str], found: tuple[int, ...]
) -> None:
    phones = Phones("", {}, punches=[Punch({"employeeId": 1}, "none", "a")])
    kind = KindOfFault()

    unknown = judge(Stores(records, log, at_legacy), phones, {"none": kind})

    assert (kind.lost, kind.duplicated, kind.wrong_rows, unknown) == found
    words = Outcome({"none": kind}, 0, unknown, []).faults_of_ours()
    assert bool(words) == any(found)
