"""Replay: parked records return to the queue at an operator's request, and no other records do."""

from typing import Any

import pytest

import app
from chalicelib import container
from chalicelib.errors import InvalidError, NotImplementedByServiceError
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.sql.filter import translate_filter
from chalicelib.operations.replay import Replay, replay
from chalicelib.point_record import Status
from chalicelib.postgres.claims import Claimed, Claims
from chalicelib.postgres.connection import Database
from chalicelib.postgres.dead_letters import DeadLetters
from chalicelib.postgres.settlements import Sample, Settlement
from tests.conftest import SimulatedLegacy
from tests.support.lambda_events import context
from tests.support.service import Service
from tests.support.tokens import INTEGRATION, operator_event


def run_replay(text: str, seconds: float = 60.0) -> dict[str, Any]:
    return app.replay(operator_event(filter=text), context(seconds))


def park(service: Service, employees: range) -> list[str]:
    """Store one punch of each employee as parked, and return the ids of the records."""
    ids = service.accept(employees)
    service.replicate()
    park_due_records()
    return ids


def park_due_records() -> list[Claimed]:
    """Settle all due records as the integrator does after a record's last refusal."""
    claims = Claims(container.database(), run_lease_s=30, record_lease_s=30)
    claims.begin()
    claimed = claims.claim(1_000)
    settlements = [
        Settlement(each.id, Status.REJECTED, 8, 8, 0, None, "HTTP 422: unknown", 422, 5)
        for each in claimed
    ]
    claims.flush(settlements, Sample(10.0, 0, 0, 0, len(claimed), None, None, "adaptive"), {})
    claims.end([])
    return claimed


def test_replay_returns_the_selected_parked_records_to_the_queue(
    service: Service, legacy: SimulatedLegacy
) -> None:
    ids = park(service, range(1, 11))
    (waiting,) = service.accept([99])
    service.replicate()
    assert service.statuses() == {"REJECTED": 10, "AWAITING": 1}
    selected = run_replay("status eq 'REJECTED' and employeeId le 4")
    assert selected == {"replayed": 4, "more": False}
    assert service.statuses() == {"REJECTED": 6, "AWAITING": 5}
    record = service.get(f"/point-record/{ids[0]}").json_body
    assert (record["status"], record["attempts"]) == ("AWAITING", 0)
    service.integrate()
    assert service.statuses() == {"REJECTED": 6, "INTEGRATED": 5}
    assert sorted(legacy.accepted_ids()) == sorted([*ids[:4], waiting])
    assert service.logs(ids[0]) == [
        (0, "AWAITING", None),
        (8, "REJECTED", 422),
        (0, "AWAITING", None),
        (1, "INTEGRATED", 200),
    ]
    logs = service.rows("SELECT DISTINCT log FROM integration_log WHERE log LIKE 'Replayed%'")
    # The record's owner may read this row, so it does not quote the filter.
    assert logs == [("Replayed by ada.",)]


def test_replay_ignores_a_record_until_it_is_parked_again(service: Service) -> None:
    (record_id,) = park(service, range(1, 2))
    for _ in range(2):
        assert run_replay("employerId eq 121")["replayed"] == 1
        assert run_replay("employerId eq 121")["replayed"] == 0  # no longer parked
        park_due_records()
        assert service.statuses() == {"REJECTED": 1}
    refusals = [status for _, status, _ in service.logs(record_id) if status == "REJECTED"]
    assert len(refusals) == 3


def test_a_replayed_record_has_all_its_attempts_again(service: Service) -> None:
    park(service, range(1, 2))
    run_replay("true")
    (claimed,) = park_due_records()
    assert (claimed.attempts, claimed.overloads) == (0, 0)


def test_replay_leaves_other_records_unchanged(service: Service) -> None:
    parked = park(service, range(1, 4))
    service.accept([50])
    service.replicate()
    service.integrate()
    (awaiting,) = service.accept([60])
    service.replicate()
    before = service.rows("SELECT id, status, updated_at FROM point_record WHERE employee_id > 10")
    assert run_replay("status eq 'INTEGRATED' or employeeId gt 10")["replayed"] == 0
    assert run_replay("true")["replayed"] == len(parked)
    after = service.rows("SELECT id, status, updated_at FROM point_record WHERE employee_id > 10")
    assert sorted(after) == sorted(before)
    assert service.logs(awaiting) == [(0, "AWAITING", None)]


def test_replay_filter_may_select_by_the_log(service: Service) -> None:
    park(service, range(1, 4))
    assert run_replay("logs/any(l:l/httpStatus eq 500)")["replayed"] == 0
    unknown = "logs/any(l:l/httpStatus eq 422 and contains(l/log,'unknown'))"
    assert run_replay(unknown)["replayed"] == 3


def test_replay_in_several_batches_replays_each_record_once(
    service: Service, legacy: SimulatedLegacy, database: Database
) -> None:
    def in_batches(text: str, seconds: float) -> Replay:
        return replay(
            text,
            INTEGRATION,
            lambda each, principal: translate_filter(each, principal, Bounds(100, 100)),
            DeadLetters(database),
            lambda: seconds,
            batch=7,
        )

    ids = park(service, range(1, 101))
    assert in_batches("employeeId mod 2 eq 0", seconds=60) == Replay(50, more=False)
    without_time = in_batches("true", seconds=0)  # for even one batch
    assert (without_time.replayed, without_time.more) == (0, True)
    assert in_batches("true", seconds=60) == Replay(50, more=False)
    service.integrate()
    assert sorted(legacy.accepted_ids()) == sorted(ids)
    logged = service.rows(
        "SELECT max(n) FROM (SELECT count(*) AS n FROM integration_log"
        " WHERE log LIKE 'Replayed%' GROUP BY point_id) AS counted"
    )
    assert logged == [(1,)]


def test_a_replayed_record_is_neither_missing_nor_unlogged(service: Service) -> None:
    ids = park(service, range(1, 4))
    run_replay("true")
    locations = container.point_record_store().locate(ids)
    assert locations.records == set(ids)
    assert locations.unlogged == set()


@pytest.mark.parametrize(
    ("text", "reason"),
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
def test_an_invalid_filter_replays_no_record(service: Service, text: str, reason: str) -> None:
    park(service, range(1, 2))
    with pytest.raises((InvalidError, NotImplementedByServiceError)) as caught:
        run_replay(text)
    assert reason in caught.value.message
    assert service.statuses() == {"REJECTED": 1}
