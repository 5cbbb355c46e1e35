"""The canary goes the whole way like any record, alone, and its age grows wherever it stops."""

import json
from typing import Any

import pytest

import app
from chalicelib import container
from chalicelib.principal import Role
from tests.conftest import SimulatedLegacy
from tests.support.lambda_events import context, schedule_event
from tests.support.service import Service, wired
from tests.support.tokens import authorization

EMPLOYER, EMPLOYEE = 900_000_001, 900_000_002
CANARY = {
    "CANARY_EMPLOYER": str(EMPLOYER),
    "CANARY_EMPLOYEE": str(EMPLOYEE),
    "CANARY_INTERVAL_S": "60",
    "METRICS_NAMESPACE": "test",
}


@pytest.fixture
def variables(variables: dict[str, str]) -> dict[str, str]:
    return variables | CANARY


def observe(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run the schedule, and return the line of the canary."""
    capsys.readouterr()
    app.observe(schedule_event(), context())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["message"] for each in lines if each["message"] == "accepted"] == []
    (line,) = [each for each in lines if each["message"] == "canary"]
    return line


def age(service: Service, minutes: int) -> None:
    """Make every canary older, as if time had passed. Its id stays that of the first instant."""
    with service.database.transaction() as connection:
        connection.run("ALTER TABLE point_record DROP CONSTRAINT IF EXISTS point_record_id_check")
    service.rows(
        "UPDATE point_record SET created_at = created_at - make_interval(mins => :minutes),"
        " included_at = included_at - make_interval(mins => :minutes),"
        " replicated_at = replicated_at - make_interval(mins => :minutes),"
        " integrated_at = integrated_at - make_interval(mins => :minutes) RETURNING 1",
        minutes=minutes,
    )


def test_canary_goes_the_whole_way_and_its_age_is_a_metric_of_each_stage(
    service: Service, legacy: SimulatedLegacy, capsys: pytest.CaptureFixture[str]
) -> None:
    first = observe(capsys)
    assert first["sent"]
    assert "canary_age" not in first
    service.replicate()
    service.integrate()
    ((body,),) = service.rows(
        "SELECT CAST(json_build_array(employer_id, employee_id, status) AS text) FROM point_record"
    )
    assert json.loads(body) == [EMPLOYER, EMPLOYEE, "INTEGRATED"]
    assert len(legacy.accepted_ids()) == 1
    age(service, 10)
    second = observe(capsys)
    assert second["sent"]
    assert second["canary_age"] >= 600
    assert second["canary_replication"] < 60
    assert second["canary_integration"] < 60
    (metrics,) = second["_aws"]["CloudWatchMetrics"]
    assert {each["Name"] for each in metrics["Metrics"]} == {
        *("canary_age", "canary_replication", "canary_integration")
    }
    assert len(service.statuses()) == 1  # the second one is in the buffer
    assert container.buffered_items().pending(10)["waiting"] == 1


def test_only_one_canary_is_on_its_way(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert observe(capsys)["sent"]
    assert not observe(capsys)["sent"]  # it is in the buffer
    service.replicate()
    age(service, 60)
    waiting = observe(capsys)  # it is in Postgres
    assert not waiting["sent"]
    assert waiting["canary_age"] >= 3_600
    assert "canary_integration" not in waiting
    assert service.statuses() == {"AWAITING": 1}
    assert container.buffered_items().pending(10)["waiting"] == 0


def test_a_parked_canary_stays_and_the_next_one_is_sent(
    service: Service,
    legacy: SimulatedLegacy,
    variables: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    observe(capsys)
    service.replicate()
    service.rows("UPDATE point_record SET status = 'REJECTED', next_attempt_at = NULL RETURNING 1")
    age(service, 10)
    line = observe(capsys)
    assert line["sent"]
    assert line["canary_age"] >= 600  # it has never arrived
    assert service.get("/health").json_body["replica"]["parked"] == 1


def test_no_other_employer_sees_the_canary(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    observe(capsys)
    service.accept([1])
    service.replicate()
    for token, expected in (
        (authorization(Role.EMPLOYER, 121), 1),
        (authorization(Role.EMPLOYER, EMPLOYER), 1),
        (authorization(Role.INTEGRATION), 2),
    ):
        shown = service.http.get("/odata/PointRecords/$count", headers=token)
        assert shown.body == str(expected).encode()


def test_observe_measures_the_stages_though_the_canary_fails(
    service: Service, variables: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with wired(variables | {"DATABASE_URL": "postgresql://x@127.0.0.1:9/x"}):
        app.observe(schedule_event(), context())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    messages = [line["message"] for line in lines]
    assert "the canary was not measured" in messages
    assert "canary" not in messages
    (observed,) = [line for line in lines if line["message"] == "observed"]
    assert observed["buffered"] == 0


def test_without_the_setting_no_canary_is_sent(
    service: Service, variables: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with wired(variables | {"CANARY_EMPLOYER": "0", "CANARY_EMPLOYEE": "0"}):
        app.observe(schedule_event(), context())
        assert container.buffered_items().pending(10)["waiting"] == 0
    assert '"message": "canary"' not in capsys.readouterr().out
