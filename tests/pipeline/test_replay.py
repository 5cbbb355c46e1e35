"""Parked records go again when somebody asks, and no others."""

from typing import Any

import pytest

import app
from chalicelib import container
from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.operations import replay
from tests.conftest import Legacy
from tests.support.lambda_events import context
from tests.support.service import Service, wired
from tests.support.tokens import asked


@pytest.fixture
def service(service: Service, variables: dict[str, str]) -> Any:
    """The service, which parks a record at its first refusal."""
    with wired(variables | {"MAX_ATTEMPTS": "1"}):
        yield service


def ask(text: str, seconds: float = 60.0) -> dict[str, Any]:
    return app.replay(asked(filter=text), context(seconds))


def park(service: Service, legacy: Legacy, employees: range) -> list[str]:
    """Have the legacy refuse the punches of these employees, and return their ids."""
    ids = service.accept(employees)
    legacy.set(answer={"status": 422, "body": "unknown", "only_ids": ids})
    service.replicate()
    service.integrate()
    legacy.set(answer=None)
    return ids


def test_parked_records_that_the_filter_selects_go_again_and_arrive(
    service: Service, legacy: Legacy
) -> None:
    ids = park(service, legacy, range(1, 11))
    (waiting,) = service.accept([99])
    service.replicate()
    assert service.statuses() == {"REJECTED": 10, "AWAITING": 1}
    assert ask("status eq 'REJECTED' and employeeId le 4") == {"replayed": 4, "more": False}
    assert service.statuses() == {"REJECTED": 6, "AWAITING": 5}
    record = service.get(f"/point-record/{ids[0]}").json_body
    assert (record["status"], record["attempts"]) == ("AWAITING", 0)
    service.integrate()
    assert service.statuses() == {"REJECTED": 6, "INTEGRATED": 5}
    assert sorted(legacy.accepted_ids()) == sorted([*ids[:4], waiting])
    assert service.logs(ids[0]) == [
        (0, "AWAITING", None),
        (1, "REJECTED", 422),
        (0, "AWAITING", None),
        (1, "INTEGRATED", 200),
    ]
    told = service.rows("SELECT DISTINCT log FROM integration_log WHERE log LIKE 'Replayed%'")
    # Whoever's record it is may read this, so it does not say which others were meant.
    assert told == [("Replayed, as ada asked.",)]


def test_asked_twice_they_go_twice_and_asked_again_at_once_they_do_not(
    service: Service, legacy: Legacy
) -> None:
    (record_id,) = park(service, legacy, range(1, 2))
    legacy.set(answer={"status": 422, "body": "still unknown"})
    for _ in range(2):
        assert ask("employerId eq 121")["replayed"] == 1
        assert ask("employerId eq 121")["replayed"] == 0  # it is not parked any more
        service.integrate()
        assert service.statuses() == {"REJECTED": 1}
    refusals = [status for _, status, _ in service.logs(record_id) if status == "REJECTED"]
    assert len(refusals) == 3


def test_what_is_not_parked_is_left_alone(service: Service, legacy: Legacy) -> None:
    parked = park(service, legacy, range(1, 4))
    service.accept([50])
    service.replicate()
    service.integrate()
    (awaiting,) = service.accept([60])
    service.replicate()
    before = service.rows("SELECT id, status, updated_at FROM point_record WHERE employee_id > 10")
    assert ask("status eq 'INTEGRATED' or employeeId gt 10")["replayed"] == 0
    assert ask("true")["replayed"] == len(parked)
    after = service.rows("SELECT id, status, updated_at FROM point_record WHERE employee_id > 10")
    assert sorted(after) == sorted(before)
    assert service.logs(awaiting) == [(0, "AWAITING", None)]


def test_a_filter_may_speak_of_the_log(service: Service, legacy: Legacy) -> None:
    park(service, legacy, range(1, 4))
    assert ask("logs/any(l:l/httpStatus eq 500)")["replayed"] == 0
    assert ask("logs/any(l:l/httpStatus eq 422 and contains(l/log,'unknown'))")["replayed"] == 3


def test_more_than_a_batch_go_again_each_once(
    service: Service, legacy: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = park(service, legacy, range(1, 101))
    monkeypatch.setattr(replay, "_BATCH", 7)
    assert ask("employeeId mod 2 eq 0", seconds=60) == {"replayed": 50, "more": False}
    assert ask("true", seconds=0) == {"replayed": 0, "more": True}  # no time for even one batch
    assert ask("true") == {"replayed": 50, "more": False}
    service.integrate()
    assert sorted(legacy.accepted_ids()) == sorted(ids)
    logged = service.rows(
        "SELECT max(n) FROM (SELECT count(*) AS n FROM integration_log"
        " WHERE log LIKE 'Replayed%' GROUP BY point_id) AS counted"
    )
    assert logged == [(1,)]


def test_a_replayed_record_is_no_loss_to_the_reconciler(service: Service, legacy: Legacy) -> None:
    ids = park(service, legacy, range(1, 4))
    ask("true")
    locations = container.point_record_store().locate(ids)
    assert locations.records == set(ids)
    assert locations.unlogged == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "required"),
        ("status", "condition"),
        ("colour eq 'red'", "colour"),
        ("employerId eq 'x'", "Edm"),
        ("employerId eq", ""),
        ("employerId eq 1; DROP TABLE point_record", ""),
        ("1 div 0 eq 1", "zero"),
        ("true" + " and true" * 1_000, "longer"),
    ],
)
def test_a_filter_that_is_none_is_refused_and_nothing_goes(
    service: Service, legacy: Legacy, text: str, told: str
) -> None:
    park(service, legacy, range(1, 2))
    with pytest.raises((InvalidError, NotImplementedByServiceError)) as caught:
        ask(text)
    assert told in caught.value.message
    assert service.statuses() == {"REJECTED": 1}
