"""``POST /odata/PointRecords`` creates records by way of intake."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from chalice.test import HTTPResponse

from chalicelib import container
from chalicelib.odata.pending import PendingRecords, double_text
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.router import Router
from chalicelib.postgres.connection import Database
from tests.support.service import PUNCH, Service, error_of, wired
from tests.support.tokens import INTEGRATION

JSON = {"Content-Type": "application/json"}


def create(service: Service, body: Any = PUNCH, **headers: str) -> HTTPResponse:
    """POST a body; header names have underscores instead of dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return service.http.post("/odata/PointRecords", headers=JSON | named, body=text)


def path_of(url: str) -> str:
    return "/odata" + url.partition("/odata")[2]


def test_creation_responds_with_the_record_and_its_url(service: Service) -> None:
    response = create(service)
    record = response.json_body
    assert response.status_code == 201
    assert response.headers["Location"].endswith(f"/odata/PointRecords({record['id']})")
    assert response.headers["OData-Version"] == "4.01"
    assert response.headers["Content-Type"] == "application/json;odata.metadata=minimal"
    assert record.pop("@odata.context").endswith("/odata/$metadata#PointRecords/$entity")
    assert record.pop("@odata.etag") == response.headers["ETag"]
    assert {name: record[name] for name in ("employeeId", "employerId", "status", "attempts")} == {
        "employeeId": 7,
        "employerId": 121,
        "status": "AWAITING",
        "attempts": 0,
    }
    assert service.get(f"/point-record/{record['id']}").json_body == record


def test_creation_is_idempotent(service: Service) -> None:
    first, again = create(service), create(service)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json_body == again.json_body
    assert first.headers["Location"] == again.headers["Location"]
    assert service.post(PUNCH).status_code == 200
    service.replicate()
    assert service.statuses() == {"AWAITING": 1}


def test_created_record_is_readable_before_and_after_replication(service: Service) -> None:
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
    expanded = service.get(f"{at}{related}").json_body
    assert (expanded["n"], expanded["logs"]) == (1, [])
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


def router_with(find: Callable[..., Any]) -> Router:
    """Return a router that looks up pending records with a given function."""
    pending = PendingRecords(container.intake().read, lambda _: [], find)
    return Router(container.read_session(), container.settings(), pending)


def get_request(path: str) -> ODataRequest:
    return ODataRequest(
        path=path, service_root="http://x/odata", query=[], headers={}, principal=INTEGRATION
    )


def test_record_replicated_between_the_two_lookups_is_found(service: Service) -> None:
    record_id = create(service).json_body["id"]
    router = router_with(lambda *_: service.replicate())
    response = router.respond(get_request(f"PointRecords({record_id})"))
    assert (response.status, json.loads(response.body)["id"]) == (200, record_id)
    missing = "PointRecords(00000000-0000-0000-0000-000000000000)"
    assert router.respond(get_request(missing)).status == 404


def test_internal_error_hides_its_details(service: Service) -> None:
    router = router_with(lambda *_: dict[str, Any]()["secret"])
    missing = "PointRecords(00000000-0000-0000-0000-000000000000)"
    response = router.respond(get_request(missing))
    assert (response.status, response.headers["OData-Version"]) == (500, "4.01")
    assert "secret" not in response.body
    assert json.loads(response.body)["error"]["code"] == "InternalError"


@pytest.mark.parametrize("metadata", ["minimal", "full", "none", "minimal;IEEE754Compatible=true"])
@pytest.mark.parametrize("query", ["", "?$select=employeeId,includedAt"])
def test_creation_and_read_return_the_same_json(
    service: Service, metadata: str, query: str
) -> None:
    accept = {"Accept": f"application/json;odata.metadata={metadata}"}
    punch = {**PUNCH, "deviceId": 'Ü "x" \u2028', "latitude": -46.5, "accuracyMeters": 12.25}
    created = service.http.post(
        f"/odata/PointRecords{query}", headers=JSON | accept, body=json.dumps(punch).encode()
    )
    assert created.status_code == 201
    read = service.http.get(path_of(created.headers["Location"]) + query, headers=accept)
    assert list(read.json_body) == list(created.json_body)
    assert read.json_body == created.json_body
    assert read.headers["Content-Type"] == created.headers["Content-Type"]


@pytest.mark.parametrize(
    ("latitude", "longitude", "accuracy"),
    [
        (10, -2, 5),
        (10.0, -0.0, 0.0),
        (-0.0, 180, 40_075_017),
        (1e-4, 1.5e-5, 1e-7),
        (-5e-324, 2.2250738585072014e-308, 12.30),
        (89.99999999999999, -179.99999999999997, 12345678.9),
    ],
)
def test_etag_of_a_created_record_is_that_of_the_record(
    service: Service, latitude: float, longitude: float, accuracy: float
) -> None:
    position = {"latitude": latitude, "longitude": longitude, "accuracyMeters": accuracy}
    created = create(service, {**PUNCH, **position})
    path, tag = path_of(created.headers["Location"]), created.headers["ETag"]
    read = service.get(path)
    assert (read.body, read.headers["ETag"]) == (created.body, tag)
    assert service.http.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert service.http.get(path, headers={"If-Match": tag}).status_code == 200
    selected = "?$select=latitude,longitude,accuracyMeters"
    created = service.http.post(
        f"/odata/PointRecords{selected}", headers=JSON, body=json.dumps(PUNCH | position).encode()
    )
    service.replicate()
    assert service.get(path + selected).headers["ETag"] == created.headers["ETag"]


def test_double_is_written_as_by_postgres(service: Service) -> None:
    chance = random.Random(7)
    numbers = [0.0, -0.0, 1e-4, 9.999e-5, 999999999999999.9, 1e15, 123456789012345.6, 5e-324, 1e20]
    for _ in range(2_000):
        number = chance.uniform(-180, 180)
        numbers += [number, round(number, chance.randrange(8)), number * 10 ** chance.randrange(14)]
        numbers += [number * 10.0 ** -chance.randrange(320)]
    rows = service.rows(
        "SELECT CAST(to_json(CAST(number AS double precision)) AS text) FROM"
        " jsonb_array_elements_text(CAST(:numbers AS jsonb)) WITH ORDINALITY AS n (number, at)"
        " ORDER BY at",
        numbers=json.dumps(numbers),
    )
    assert [double_text(each) for each in numbers] == [text for (text,) in rows]


@pytest.mark.parametrize("preference", ["return=minimal", "odata.x, Return=Minimal;a=b"])
def test_preference_minimal_returns_only_the_url(service: Service, preference: str) -> None:
    response = create(service, Prefer=preference)
    assert (response.status_code, response.body) == (204, b"")
    assert response.headers["OData-EntityId"] == response.headers["Location"]
    assert response.headers["EntityId"] == response.headers["Location"]
    assert response.headers["Preference-Applied"] == "return=minimal"
    assert create(service, Prefer=preference).status_code == 204
    assert "EntityId" not in create(service, Prefer=preference, OData_MaxVersion="4.0").headers


def test_preference_representation_is_confirmed(service: Service) -> None:
    response = create(service, Prefer="return=representation")
    assert response.status_code == 201
    assert response.headers["Preference-Applied"] == "return=representation"


def test_annotations_and_computed_properties_in_the_body_are_ignored(service: Service) -> None:
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
    response = create(service, {**PUNCH, **extra})
    assert response.status_code == 201
    assert (response.json_body["status"], response.json_body["attempts"]) == ("AWAITING", 0)
    assert create(service).json_body == response.json_body


def test_int64_may_be_a_string_in_an_ieee754_compatible_body(service: Service) -> None:
    body = {**PUNCH, "employeeId": "9007199254740993"}
    assert error_of(create(service, body))["target"] == "employeeId"
    response = create(service, body, Content_Type="application/json;IEEE754Compatible=true")
    assert response.status_code == 201
    assert response.json_body["employeeId"] == 9007199254740993


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({**PUNCH, "employeeId": "7"}, "employeeId"),
        ({**PUNCH, "employeeId": 1.5}, "employeeId"),
        ({**PUNCH, "nope": 1}, "nope"),
        ({"employeeId": 7, "employerId": 121}, "includedAt"),
        ({**PUNCH, "includedAt": "2026-11-22T08:00:00"}, "includedAt"),
        ({**PUNCH, "includedAt": "2026-11-22T08:00"}, "includedAt"),
        ({**PUNCH, "includedAt": "2026-11-22T08Z"}, "includedAt"),
        ({**PUNCH, "includedAt": "2026-11-22T08:00:60Z"}, "includedAt"),
        ({**PUNCH, "includedAt": "2026-11-22T08:00:00.1234567890123Z"}, "includedAt"),
        ({**PUNCH, "includedAt": "9999-11-22T08:00:00Z"}, "includedAt"),
        ({**PUNCH, "@odata.type": "#PunchClock.IntegrationLog"}, "@odata.type"),
    ],
)
def test_error_names_the_invalid_field(service: Service, body: Any, target: str) -> None:
    response = create(service, body)
    assert response.status_code == 400
    assert error_of(response)["target"] == target
    assert response.headers["OData-Version"] == "4.01"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[1]", b"null", b"\xff", json.dumps([PUNCH]).encode()]
)
def test_body_that_is_not_an_object_is_rejected(service: Service, body: bytes) -> None:
    response = create(service, body)
    assert response.status_code == 400
    error_of(response)


def test_related_entities_in_the_body_are_not_implemented(service: Service) -> None:
    deep_insert = create(service, {**PUNCH, "logs": [{"attempt": 1}]})
    bind = create(service, {**PUNCH, "logs@odata.bind": ["IntegrationLogs(1)"]})
    for response in (deep_insert, bind):
        assert response.status_code == 501
        assert error_of(response)["target"].startswith("logs")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-06-11T08:00Z", "2024-06-11T08:00:00.000000Z"),
        ("2024-06-11t08:00z", "2024-06-11T08:00:00.000000Z"),
        ("2024-06-11T05:00-03:00", "2024-06-11T08:00:00.000000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ("2024-06-11T08:00:00.123456789012Z", "2024-06-11T08:00:00.123456Z"),
    ],
)
def test_body_has_the_instants_of_a_filter(service: Service, text: str, instant: str) -> None:
    response = create(service, {**PUNCH, "includedAt": text})
    assert response.status_code == 201
    assert response.json_body["includedAt"] == instant
    service.replicate()
    found = service.get(f"/odata/PointRecords/$count?$filter=includedAt%20eq%20{text}")
    assert found.body == b"1"


def test_seconds_are_required_where_rfc_3339_requires_them(service: Service) -> None:
    response = service.post({**PUNCH, "includedAt": "2024-06-11T08:00Z"})
    assert (response.status_code, error_of(response)["target"]) == (400, "includedAt")


def test_unsupported_type_coding_size_and_version_are_rejected(service: Service) -> None:
    assert create(service, Content_Type="application/xml").status_code == 415
    assert create(service, Content_Type="application/json;charset=latin-1").status_code == 415
    assert create(service, Content_Encoding="gzip").status_code == 415
    assert create(service, Content_Type="application/json;odata.metadata=full").status_code == 201
    assert create(service, b" " * 70_000).status_code == 413
    assert create(service, Accept="application/xml").status_code == 406
    assert create(service, OData_Version="3.0").status_code == 400


@pytest.mark.parametrize(
    ("path", "content_type", "named"),
    [
        ("/odata/PointRecords", "application/json;charset=latin-1", "charset=latin-1"),
        ("/odata/PointRecords", "application/json;odata.metadata=most", "metadata=most"),
        ("/odata/PointRecords", "application/json;foo=bar", "foo=bar"),
        ("/odata/$batch", "application/json;foo=bar", "foo=bar"),
        ("/odata/PointRecords/$query", "text/plain;charset=iso-8859-1", "charset=iso-8859-1"),
        ("/point-record", "application/json;charset=latin-1", "charset=latin-1"),
    ],
)
def test_unsupported_parameter_of_a_media_type_is_named(
    service: Service, path: str, content_type: str, named: str
) -> None:
    response = service.http.post(path, headers={"Content-Type": content_type}, body=b"{}")
    assert response.status_code == 415
    assert named in error_of(response)["message"]


def test_unsupported_parameter_of_an_accepted_type_is_named(service: Service) -> None:
    response = service.http.get("/odata/PointRecords", headers={"Accept": "application/json;a=b"})
    assert (response.status_code, "a=b" in error_of(response)["message"]) == (406, True)
    excluded = service.http.get("/odata", headers={"Accept": "application/json;q=0, */*"})
    assert excluded.status_code == 406


def test_created_record_omits_nulls(service: Service) -> None:
    response = create(service, Prefer="return=representation, omit-values=nulls")
    assert response.status_code == 201
    applied = "return=representation, omit-values=nulls"
    assert response.headers["Preference-Applied"] == applied
    assert None not in response.json_body.values()
    assert {"deviceId", "integratedAt"}.isdisjoint(response.json_body)
    record = service.http.get(
        path_of(response.headers["Location"]), headers={"Prefer": "omit-values=nulls"}
    )
    assert record.json_body == response.json_body


def test_names_of_earlier_versions_are_translated(service: Service) -> None:
    for target, status, sentence in (
        ("PointRecords?$inlinecount=allpages", 400, "OData 4 writes $count=true."),
        ("PointRecords(guid'01234567-89ab-cdef-0123-456789abcdef')", 400, "writes 01234567-89ab-"),
        ("IntegrationRuns(7L)", 400, "7L is the form of OData 2 and 3. OData 4 writes 7,"),
        ("PointRecords(01234567-89ab-cdef-0123-456789abcdef)/$links/logs", 404, "/logs/$ref."),
    ):
        response = service.get(f"/odata/{target}")
        assert response.status_code == status
        assert sentence in error_of(response)["message"]


def test_record_is_created_while_postgres_is_unavailable(
    variables: dict[str, str], tmp_path: Path
) -> None:
    unavailable = variables | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    with wired(unavailable):
        service = Service.of(cast(Database, None), tmp_path)
        response = create(service)
        assert response.status_code == 201
        assert service.get(path_of(response.headers["Location"])).status_code == 503


@pytest.mark.parametrize(
    "path",
    ["IntegrationLogs", "IntegrationRuns", "", "$metadata", "PointRecords/$count",
     "PointRecords(00000000-0000-0000-0000-000000000000)",
     "PointRecords(00000000-0000-0000-0000-000000000000)/logs"],
)  # fmt: skip
def test_only_point_records_can_be_created(service: Service, path: str) -> None:
    response = service.http.post(f"/odata/{path}", headers=JSON, body=b"{}")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert error_of(response)["code"] == "MethodNotAllowed"
    assert service.http.post("/odata/Nope", headers=JSON, body=b"{}").status_code == 404
