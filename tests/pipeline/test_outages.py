"""Outages: intake depends only on the buffer, and records accepted meanwhile arrive afterwards."""

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chalicelib.errors import UnavailableError
from local.loopback import HOST, free_port
from local.postgres import Postgres
from local.services import start_legacy
from tests.support.service import PUNCH, Service, environment, error_of, wired


def test_run_that_fails_logs_one_line_with_its_cause(
    variables: dict[str, str], service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = {"POINT_RECORD_TABLE": "nowhere", "DATABASE_URL": f"postgresql://a:b@{HOST}:9/c"}
    with wired({**variables, **nowhere}):
        for run in (service.replicate, service.integrate):
            capsys.readouterr()
            with pytest.raises(UnavailableError) as raised:
                run()
            lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            (line,) = [each for each in lines if each["message"] != "the database is unavailable"]
            assert (line["message"], line["level"], line["code"]) == (
                "a run failed", "ERROR", "Unavailable",
            )  # fmt: skip
            assert line["reason"] == raised.value.message
            assert "Error: " in line["cause"]
            assert "exception" not in line
            # What Lambda writes of the error is short.
            assert raised.value.__cause__ is None
            assert len(traceback.format_exception(raised.value)) < 20


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """Stop Postgres; at the end, start it again on the same port and with the same data."""
    server.child.stop()
    try:
        yield
    finally:
        server.child.start()
        server.child.wait_ready()


def test_record_posted_while_postgres_and_the_legacy_are_stopped_arrives_afterwards(
    variables: dict[str, str],
    service: Service,
    postgres_server: Postgres,
    tmp_path: Path,
) -> None:
    port = free_port()
    with wired({**variables, "LEGACY_URL": f"http://{HOST}:{port}/point-records"}):
        service.accept([1])
        service.replicate()
        service.integrate(18)  # the legacy refuses connections
        with stopped(postgres_server):
            response = service.post(PUNCH)
            assert response.status_code == 201
            record_id = response.json_body["id"]
            assert service.get(f"/point-record/{record_id}").json_body == response.json_body
            health = service.get("/health")
            assert health.status_code == 200
            assert health.json_body["status"] == "degraded"
            assert health.json_body["buffer"]["waiting"] == 1
            assert health.json_body["replica"]["status"] == "unavailable"
            with pytest.raises(UnavailableError):
                service.replicate()
            with pytest.raises(UnavailableError):
                service.integrate()
            assert service.get(f"/point-record/{record_id}").json_body == response.json_body
        service.replicate()
        child, _ = start_legacy(tmp_path, port, keep=False)
        try:
            service.advance_time(60)
            service.integrate()
        finally:
            child.stop()
        assert service.statuses() == {"INTEGRATED": 2}
        assert service.get(f"/point-record/{record_id}").json_body["status"] == "INTEGRATED"


def test_replicated_record_is_unavailable_while_postgres_is_stopped(
    service: Service, postgres_server: Postgres
) -> None:
    (record_id,) = service.accept([1])
    service.replicate()
    with stopped(postgres_server):
        response = service.get(f"/point-record/{record_id}")
    assert response.status_code == 503
    assert error_of(response)["code"] == "Unavailable"
    assert service.get(f"/point-record/{record_id}").status_code == 200


def test_no_record_is_acknowledged_without_the_buffer(
    dynamodb_url: str, table: str, database_url: str, service: Service
) -> None:
    without_buffer = environment(
        dynamodb=f"http://{HOST}:{free_port()}", table=table, postgres=database_url, legacy=""
    )
    with wired(without_buffer):
        object_response = service.post(PUNCH)
        array_response = service.post([PUNCH, {}])
    assert object_response.status_code == 503
    assert error_of(object_response)["code"] == "Unavailable"
    assert array_response.status_code == 207
    assert [each["status"] for each in array_response.json_body] == [503, 400]
    assert all("record" not in each for each in array_response.json_body)
