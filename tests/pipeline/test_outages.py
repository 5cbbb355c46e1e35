"""Intake needs nothing but the buffer: what is accepted in an outage arrives after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chalicelib.errors import UnavailableError
from local.loopback import HOST, free_port
from local.postgres import Postgres
from local.services import start_legacy
from tests.support.service import PUNCH, Service, environment, error_of, wired


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """Stop Postgres for a while; it comes back where it was, with what it had."""
    server.child.stop()
    try:
        yield
    finally:
        server.child.start()
        server.child.wait_ready()


def test_what_is_posted_while_postgres_and_the_legacy_are_stopped_arrives_later(
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
            answer = service.post(PUNCH)
            assert answer.status_code == 201
            record_id = answer.json_body["id"]
            assert service.get(f"/point-record/{record_id}").json_body == answer.json_body
            health = service.get("/health")
            assert health.status_code == 200
            assert health.json_body["status"] == "degraded"
            assert health.json_body["buffer"]["waiting"] == 1
            assert health.json_body["replica"]["status"] == "unavailable"
            with pytest.raises(UnavailableError):
                service.replicate()
            with pytest.raises(UnavailableError):
                service.integrate()
            assert service.get(f"/point-record/{record_id}").json_body == answer.json_body
        service.replicate()
        child, _ = start_legacy(tmp_path, port, keep=False)
        try:
            service.advance_time(60)
            service.integrate()
        finally:
            child.stop()
        assert service.statuses() == {"INTEGRATED": 2}
        assert service.get(f"/point-record/{record_id}").json_body["status"] == "INTEGRATED"


def test_a_record_that_only_postgres_has_cannot_be_read_while_it_is_stopped(
    service: Service, postgres_server: Postgres
) -> None:
    (record_id,) = service.accept([1])
    service.replicate()
    with stopped(postgres_server):
        answer = service.get(f"/point-record/{record_id}")
    assert answer.status_code == 503
    assert error_of(answer)["code"] == "Unavailable"
    assert service.get(f"/point-record/{record_id}").status_code == 200


def test_without_the_buffer_nothing_is_acknowledged(
    dynamodb_url: str, table: str, database_url: str, service: Service
) -> None:
    nowhere = environment(
        dynamodb=f"http://{HOST}:{free_port()}", table=table, postgres=database_url, legacy=""
    )
    with wired(nowhere):
        one = service.post(PUNCH)
        several = service.post([PUNCH, {}])
    assert one.status_code == 503
    assert error_of(one)["code"] == "Unavailable"
    assert several.status_code == 207
    assert [each["status"] for each in several.json_body] == [503, 400]
    assert all("record" not in each for each in several.json_body)
