"""The way of a record from the POST to the legacy, and what clients see of it meanwhile."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib.point_record import Status
from tests.conftest import SimulatedLegacy
from tests.support.service import PUNCH, Service, punch, wired

WEEK_S = 7 * 86_400.0


def test_punch_becomes_integrated_and_each_step_is_visible(
    service: Service, legacy: SimulatedLegacy
) -> None:
    accepted = service.post({**PUNCH, "deviceId": "d1"}).json_body
    path = f"/point-record/{accepted['id']}"

    service.replicate()
    awaiting = service.get(path).json_body
    assert awaiting == {
        **accepted,
        "replicatedAt": awaiting["replicatedAt"],
        "nextAttemptAt": awaiting["nextAttemptAt"],
    }
    assert accepted["createdAt"] <= awaiting["replicatedAt"]

    service.integrate()
    integrated = service.get(path).json_body
    assert integrated == {
        **awaiting,
        "status": "INTEGRATED",
        "attempts": 1,
        "nextAttemptAt": None,
        "integratedAt": integrated["integratedAt"],
        "updatedAt": integrated["integratedAt"],
    }
    assert awaiting["replicatedAt"] < integrated["integratedAt"]

    assert legacy.accepted_ids() == [accepted["id"]]
    assert service.logs(accepted["id"]) == [(0, "AWAITING", None), (1, "INTEGRATED", 200)]
    ((delivered, failed, rejected, p50, limit),) = service.rows(
        "SELECT sum(delivered), sum(failed), sum(rejected), max(latency_p50_ms),"
        " max(max_open_requests) FROM integration_run"
    )
    assert (delivered, failed, rejected) == (1, 0, 0)
    assert p50 > 0
    assert limit >= 1


def test_legacy_receives_exactly_the_punch_with_its_id_as_idempotency_key(
    service: Service, variables: dict[str, str]
) -> None:
    sent: list[tuple[str, str | None, str | None, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key, media_type = self.headers["Idempotency-Key"], self.headers["Content-Type"]
            sent.append((self.path, key, media_type, json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            del arguments

    located = punch(1, deviceId='d\u2028"1', latitude=-23.5, longitude=0, accuracyMeters=1e-7)
    record_id = service.post(located).json_body["id"]
    bare_id = service.post(punch(2)).json_body["id"]
    service.replicate()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever).start()
        url = f"http://127.0.0.1:{receiver.server_port}/in?from=punch"
        with wired({**variables, "LEGACY_URL": url}):
            service.integrate()
        receiver.shutdown()
    bare = {
        "id": bare_id,
        "employeeId": 2,
        "employerId": 121,
        "includedAt": "2026-11-22T11:00:00.000000Z",
        "utcOffsetMinutes": -180,
        "localDate": "2026-11-22",
        "localTime": "08:00:00",
    }
    evidence = {"deviceId": 'd\u2028"1', "latitude": -23.5, "longitude": 0, "accuracyMeters": 1e-7}
    full = {**bare, "id": record_id, "employeeId": 1, **evidence}
    assert sorted(sent, key=lambda each: each[3]["employeeId"]) == [
        ("/in?from=punch", record_id, "application/json", full),
        ("/in?from=punch", bare_id, "application/json", bare),
    ]
    assert service.statuses() == {"INTEGRATED": 2}


def test_punch_sent_again_after_its_integration_is_only_logged(
    service: Service, legacy: SimulatedLegacy
) -> None:
    first = service.post(PUNCH).json_body
    service.replicate()
    service.integrate()
    repeated = service.post({**PUNCH, "deviceId": "another"})
    # The buffer has deleted the record, and intake reads no other store.
    assert repeated.status_code == 201
    # Now both stores have the record, and the version of Postgres is returned.
    assert service.get(f"/point-record/{first['id']}").json_body["status"] == "INTEGRATED"
    service.replicate()
    service.integrate()
    record = service.get(f"/point-record/{first['id']}").json_body
    assert record["status"] == "INTEGRATED"
    assert record["createdAt"] == first["createdAt"]
    assert record["deviceId"] is None
    other_evidence = (0, "INTEGRATED", None)
    assert service.logs(first["id"]) == [
        (0, "AWAITING", None), (1, "INTEGRATED", 200), other_evidence,
    ]  # fmt: skip
    assert legacy.report()["duplicates"] == 0


def test_failed_attempt_is_logged_and_the_next_one_integrates(
    service: Service, legacy: SimulatedLegacy
) -> None:
    legacy.set(answer={"status": 500, "body": "broken", "times": 1})
    (record_id,) = service.accept([1])
    service.replicate()
    service.integrate()
    service.advance_time(WEEK_S)
    service.integrate()
    # The failure used up no attempt, since nothing else was delivered after it.
    assert service.get(f"/point-record/{record_id}").json_body["attempts"] == 1
    assert service.logs(record_id) == [
        (0, "AWAITING", None),
        (1, "ERROR", 500),
        (1, "INTEGRATED", 200),
    ]
    assert service.rows("SELECT log FROM integration_log WHERE status = 'ERROR'") == [
        ("HTTP 500: broken",)
    ]


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_refused_record_is_parked_after_its_last_attempt(
    variables: dict[str, str], service: Service, legacy: SimulatedLegacy, status: int
) -> None:
    refused, *others = service.accept(range(1, 6))
    legacy.set(answer={"status": status, "body": "no such employee", "only_ids": [refused]})
    service.replicate()
    number = 6
    while not service.statuses().get("REJECTED"):
        service.integrate()
        others += service.accept([number, number + 1])
        service.replicate()
        service.advance_time(WEEK_S)
        number += 2
        assert number < 60
    service.integrate()
    assert service.statuses() == {"INTEGRATED": len(others), "REJECTED": 1}
    parked = service.get(f"/point-record/{refused}").json_body
    assert (parked["attempts"], parked["nextAttemptAt"]) == (8, None)
    logs = service.logs(refused)
    assert sorted(set(logs)) == [
        (0, "AWAITING", None),
        *[(attempt, "ERROR", status) for attempt in range(1, 8)],
        (8, "REJECTED", status),
    ]
    assert logs[-1] == (8, "REJECTED", status)
    assert sorted(legacy.accepted_ids()) == sorted(others)
    assert service.get("/health").json_body["replica"]["parked"] == 1


@pytest.mark.parametrize("status", [408, 429, 503, 401, 403, 407])
def test_overload_or_rejected_credentials_use_up_no_attempt(
    service: Service, legacy: SimulatedLegacy, status: int
) -> None:
    legacy.set(answer={"status": status, "body": "not now"})
    (record_id,) = service.accept([1])
    service.replicate()
    for _ in range(10):
        service.integrate()
        service.advance_time(WEEK_S)
    record = service.get(f"/point-record/{record_id}").json_body
    assert (record["status"], record["attempts"]) == ("ERROR", 0)
    legacy.set(answer=None)
    service.integrate()
    record = service.get(f"/point-record/{record_id}").json_body
    assert (record["status"], record["attempts"]) == ("INTEGRATED", 1)
    calls = service.logs(record_id)[1:]
    assert len(calls) > 10
    assert calls[:-1] == [(1, "ERROR", status)] * (len(calls) - 1)


def test_health_has_the_depth_of_each_stage(service: Service, legacy: SimulatedLegacy) -> None:
    def health() -> dict[str, Any]:
        response = service.get("/health")
        assert response.status_code == 200
        return response.json_body

    empty = health()
    assert empty["status"] == "ok"
    assert (empty["buffer"]["waiting"], empty["replica"]["waiting"]) == (0, {})

    service.accept(range(1, 4))
    buffered = health()["buffer"]
    assert (buffered["waiting"], buffered["estimated"]) == (3, False)
    assert buffered["oldestAgeSeconds"] >= 0

    service.replicate()
    assert health()["buffer"]["waiting"] == 0
    assert health()["replica"]["waiting"] == {Status.AWAITING: 3}

    service.integrate()
    assert health()["replica"]["waiting"] == {}


def test_three_hundred_punches_arrive_once_each(service: Service, legacy: SimulatedLegacy) -> None:
    ids = service.accept(range(1, 301))
    assert len(set(ids)) == 300
    assert service.post([punch(each) for each in range(1, 51)]).status_code == 207
    service.replicate()
    service.integrate()
    assert service.statuses() == {"INTEGRATED": 300}
    assert sorted(legacy.accepted_ids()) == sorted(ids)
    assert service.rows(
        "SELECT status, count(*), count(DISTINCT point_id) FROM integration_log"
        " GROUP BY status ORDER BY status"
    ) == [("AWAITING", 300, 300), ("INTEGRATED", 300, 300)]
