"""Records created through OData: the same intake, in OData's words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib import container
from chalicelib.odata.pending import PendingRecords
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.router import Router
from tests.support.service import PUNCH, Service, error_of, wired
from tests.support.tokens import INTEGRATION

JSON = {"Content-Type": "application/json"}


def create(service: Service, body: Any = PUNCH, **headers: str) -> HTTPResponse:
    """POST a body; headers have underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return service.http.post("/odata/PointRecords", headers=JSON | named, body=text)


def path_of(url: str) -> str:
    return "/odata" + url.partition("/odata")[2]


def test_a_created_record_is_answered_with_its_url(service: Service) -> None:
    answer = create(service)
    record = answer.json_body
    assert answer.status_code == 201
    assert answer.headers["Location"].endswith(f"/odata/PointRecords({record['id']})")
    assert answer.headers["OData-Version"] == "4.01"
    assert answer.headers["Content-Type"] == "application/json;odata.metadata=minimal"
    assert record.pop("@odata.context").endswith("/odata/$metadata#PointRecords/$entity")
    assert record.pop("@odata.etag") == answer.headers["ETag"]
    assert {name: record[name] for name in ("employeeId", "employerId", "status", "attempts")} == {
        "employeeId": 7,
        "employerId": 121,
        "status": "AWAITING",
        "attempts": 0,
    }
    assert service.get(f"/point-record/{record['id']}").json_body == record


def test_the_same_punch_is_the_same_record(service: Service) -> None:
    first, again = create(service), create(service)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json_body == again.json_body
    assert first.headers["Location"] == again.headers["Location"]
    assert service.post(PUNCH).status_code == 200
    service.replicate()
    assert service.statuses() == {"AWAITING": 1}


def test_a_record_is_there_before_it_is_replicated_and_after(service: Service) -> None:
    at = path_of(create(service).headers["Location"])
    before = service.get(at)
    assert before.status_code == 200
    assert service.get(f"{at}/logs").json_body["value"] == []
    assert service.get(f"{at}/logs/$count").body == b"0"
    assert service.get(f"{at}/status/$value").body == b"AWAITING"
    assert service.get(f"{at}/deviceId").status_code == 204
    assert service.get(f"{at}/nope").status_code == 404
    assert service.get("/odata/PointRecords").json_body["value"] == []
    related = (
        "?$select=id,n&$compute=attempts%20add%201%20as%20n"
        "&$expand=logs($filter=$it/attempts%20eq%200)"
    )
    whole = service.get(f"{at}{related}").json_body
    assert (whole["n"], whole["logs"]) == (1, [])
    service.replicate()
    assert len(service.get(f"{at}{related}").json_body["logs"]) == 1
    after = service.get(at)
    differing = {
        name
        for name, value in after.json_body.items()
        if value != before.json_body[name] and not name.startswith("@")
    }
    assert differing == {"replicatedAt", "nextAttemptAt"}
    assert before.headers["ETag"] != after.headers["ETag"]
    assert service.get(f"{at}/logs/$count").body == b"1"


def endpoint(find: Callable[..., Any]) -> Router:
    """The door of OData, with another way to look into the buffer."""
    waiting = PendingRecords(container.intake().read, lambda _: [], find)
    return Router(container.reader(), container.settings(), waiting)


def asked(path: str) -> ODataRequest:
    return ODataRequest(
        path=path, service_root="http://x/odata", query=[], headers={}, principal=INTEGRATION
    )


def test_a_record_that_is_replicated_between_two_looks_is_found(service: Service) -> None:
    record_id = create(service).json_body["id"]
    door = endpoint(lambda *_: service.replicate())
    answer = door.respond(asked(f"PointRecords({record_id})"))
    assert (answer.status, json.loads(answer.body)["id"]) == (200, record_id)
    missing = "PointRecords(00000000-0000-0000-0000-000000000000)"
    assert door.respond(asked(missing)).status == 404


def test_a_fault_of_ours_is_told_to_nobody(service: Service) -> None:
    door = endpoint(lambda *_: {}["secret"])
    missing = "PointRecords(00000000-0000-0000-0000-000000000000)"
    answer = door.respond(asked(missing))
    assert (answer.status, answer.headers["OData-Version"]) == (500, "4.01")
    assert "secret" not in answer.body
    assert json.loads(answer.body)["error"]["code"] == "InternalError"


@pytest.mark.parametrize("form", ["minimal", "full", "none", "minimal;IEEE754Compatible=true"])
@pytest.mark.parametrize("query", ["", "?$select=employeeId,includedAt"])
def test_what_is_created_is_written_as_what_is_read(
    service: Service, form: str, query: str
) -> None:
    accept = {"Accept": f"application/json;odata.metadata={form}"}
    punch = {**PUNCH, "deviceId": 'Ü "x" \u2028', "latitude": -46.5, "accuracyMeters": 12.25}
    created = service.http.post(
        f"/odata/PointRecords{query}", headers=JSON | accept, body=json.dumps(punch).encode()
    )
    assert created.status_code == 201
    read = service.http.get(path_of(created.headers["Location"]) + query, headers=accept)
    assert list(read.json_body) == list(created.json_body)
    assert read.json_body == created.json_body
    assert read.headers["Content-Type"] == created.headers["Content-Type"]


@pytest.mark.parametrize("preference", ["return=minimal", "odata.x, Return=Minimal;a=b"])
def test_who_prefers_a_minimal_answer_gets_the_url_alone(service: Service, preference: str) -> None:
    answer = create(service, Prefer=preference)
    assert (answer.status_code, answer.body) == (204, b"")
    assert answer.headers["OData-EntityId"] == answer.headers["Location"]
    assert answer.headers["EntityId"] == answer.headers["Location"]
    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert create(service, Prefer=preference).status_code == 204
    assert "EntityId" not in create(service, Prefer=preference, OData_MaxVersion="4.0").headers


def test_who_prefers_the_representation_is_told_so(service: Service) -> None:
    answer = create(service, Prefer="return=representation")
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "return=representation"


def test_annotations_and_what_the_service_computes_are_ignored(service: Service) -> None:
    extra = {
        "@odata.type": "#PunchClock.PointRecord",
        "@odata.context": "x",
        "@my.own": {"a": 1},
        "employeeId@odata.type": "#Int64",
        "id": "00000000-0000-0000-0000-000000000000",
        "status": "INTEGRATED",
        "attempts": 9,
        "utcOffsetMinutes": None,
        "logs": [],
        "deviceId": None,
    }
    answer = create(service, {**PUNCH, **extra})
    assert answer.status_code == 201
    assert (answer.json_body["status"], answer.json_body["attempts"]) == ("AWAITING", 0)
    assert create(service).json_body == answer.json_body


def test_big_numbers_may_be_sent_as_text_by_those_who_say_so(service: Service) -> None:
    body = {**PUNCH, "employeeId": "9007199254740993"}
    assert error_of(create(service, body))["target"] == "employeeId"
    answer = create(service, body, Content_Type="application/json;IEEE754Compatible=true")
    assert answer.status_code == 201
    assert answer.json_body["employeeId"] == 9007199254740993


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({**PUNCH, "employeeId": "7"}, "employeeId"),
        ({**PUNCH, "employeeId": 1.5}, "employeeId"),
        ({**PUNCH, "nope": 1}, "nope"),
        ({"employeeId": 7, "employerId": 121}, "includedAt"),
        ({**PUNCH, "includedAt": "2026-11-22T08:00:00"}, "includedAt"),
        ({**PUNCH, "includedAt": "9999-11-22T08:00:00Z"}, "includedAt"),
        ({**PUNCH, "@odata.type": "#PunchClock.IntegrationLog"}, "@odata.type"),
    ],
)
def test_a_bad_field_is_named(service: Service, body: Any, target: str) -> None:
    answer = create(service, body)
    assert answer.status_code == 400
    assert error_of(answer)["target"] == target
    assert answer.headers["OData-Version"] == "4.01"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[1]", b"null", b"\xff", json.dumps([PUNCH]).encode()]
)
def test_what_is_no_object_is_refused(service: Service, body: bytes) -> None:
    answer = create(service, body)
    assert answer.status_code == 400
    error_of(answer)


def test_what_cannot_be_done_with_a_record_is_named(service: Service) -> None:
    deep = create(service, {**PUNCH, "logs": [{"attempt": 1}]})
    linked = create(service, {**PUNCH, "logs@odata.bind": ["IntegrationLogs(1)"]})
    for answer in (deep, linked):
        assert answer.status_code == 501
        assert error_of(answer)["target"].startswith("logs")


def test_a_body_of_another_type_coding_or_size_is_refused(service: Service) -> None:
    assert create(service, Content_Type="application/xml").status_code == 415
    assert create(service, Content_Type="application/json;charset=latin-1").status_code == 415
    assert create(service, Content_Encoding="gzip").status_code == 415
    assert create(service, Content_Type="application/json;odata.metadata=full").status_code == 201
    assert create(service, b" " * 70_000).status_code == 413
    assert create(service, Accept="application/xml").status_code == 406
    assert create(service, OData_Version="3.0").status_code == 400


def test_a_record_is_created_while_postgres_is_away(
    variables: dict[str, str], tmp_path: Path
) -> None:
    away = variables | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    with wired(away):
        service = Service.of(None, tmp_path)
        answer = create(service)
        assert answer.status_code == 201
        assert service.get(path_of(answer.headers["Location"])).status_code == 503


@pytest.mark.parametrize(
    "path",
    ["IntegrationLogs", "IntegrationRuns", "", "$metadata", "PointRecords/$count",
     "PointRecords(00000000-0000-0000-0000-000000000000)",
     "PointRecords(00000000-0000-0000-0000-000000000000)/logs"],
)  # fmt: skip
def test_nothing_else_can_be_created(service: Service, path: str) -> None:
    answer = service.http.post(f"/odata/{path}", headers=JSON, body=b"{}")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert error_of(answer)["code"] == "MethodNotAllowed"
    assert service.http.post("/odata/Nope", headers=JSON, body=b"{}").status_code == 404
