"""HTTP methods, conditional requests and headers of the OData routes."""

import json
from typing import Any

import pytest
from chalice.test import HTTPResponse

import app
from tests.support.lambda_events import context, rest_event
from tests.support.service import PUNCH, Service, error_of

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
PATHS = ["", "/", "/$metadata", "/PointRecords", "/PointRecords/$count", "/IntegrationLogs"]
WRITE = {"Content-Type": "application/json"}


def send(service: Service, method: str, path: str, **headers: str) -> HTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.http.request(method, f"/odata{path}", headers=named, body=b"")


@pytest.mark.parametrize("path", PATHS)
def test_head_responds_like_get_without_a_body(service: Service, path: str) -> None:
    got, head = send(service, "GET", path), send(service, "HEAD", path)
    assert (head.status_code, head.body) == (200, b"")
    assert head.headers == got.headers
    assert send(service, "HEAD", "/PointRecords(x)").status_code == 400
    assert send(service, "HEAD", "/PointRecords(x)").body == b""


@pytest.mark.parametrize("path", PATHS)
def test_options_lists_the_allowed_methods(service: Service, path: str) -> None:
    response = send(service, "OPTIONS", path)
    assert (response.status_code, response.body) == (204, b"")
    posts = ", POST" if path == "/PointRecords" else ""
    assert response.headers["Allow"] == f"GET, HEAD, OPTIONS{posts}"
    assert response.headers["OData-Version"] == "4.01"
    assert send(service, "OPTIONS", "/Nope").status_code == 404
    assert send(service, "OPTIONS", "/PointRecords(x)").status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", [*PATHS, f"/PointRecords({UNKNOWN_ID})", f"/PointRecords({UNKNOWN_ID})/id"]
)
def test_update_and_delete_are_not_allowed(service: Service, method: str, path: str) -> None:
    response = send(service, method, path, OData_MaxVersion="4.0")
    assert response.status_code == 405
    assert response.headers["Allow"].startswith("GET, HEAD, OPTIONS")
    assert response.headers["OData-Version"] == "4.0"
    assert method in error_of(response)["message"]
    assert send(service, method, "/Nope").status_code == 404


def test_csrf_token_fetch_is_accepted(service: Service) -> None:
    for method in ("GET", "HEAD"):
        assert send(service, method, "", X_CSRF_Token="Fetch").status_code == 200


def replicated(service: Service) -> str:
    (record_id,) = service.accept([7])
    service.replicate()
    return f"/PointRecords({record_id})"


def test_conditional_requests_respond_304_or_412(service: Service) -> None:
    entity = replicated(service)
    for path in [*PATHS, entity, f"{entity}/status", f"{entity}/status/$value"]:
        response = send(service, "GET", path)
        tag = response.headers["ETag"]
        assert tag.startswith('W/"')
        for known in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = send(service, "GET", path, If_None_Match=known)
            assert (again.status_code, again.body) == (304, b""), path
            assert again.headers["ETag"] == tag
            assert again.headers["OData-Version"] == "4.01"
        other = send(service, "GET", path, If_None_Match='W/"x"')
        assert (other.status_code, other.body) == (200, response.body)
        assert send(service, "GET", path, If_Match=tag).status_code == 200
        assert send(service, "GET", path, If_Match="*").status_code == 200
        failed = send(service, "GET", path, If_Match='W/"x"')
        assert (failed.status_code, error_of(failed)["code"]) == (412, "PreconditionFailed")


def test_lines_of_a_repeated_list_are_one_list(service: Service) -> None:
    def answer(name: str, *lines: str) -> tuple[int, str]:
        event = rest_event("GET", "/odata", headers={name: lines[-1]})
        event["multiValueHeaders"][name] = list(lines)
        response = app.app(event, context())
        return response["statusCode"], response["headers"].get("ETag", "")

    assert answer("Accept", "text/html")[0] == 406
    status, tag = answer("Accept", "application/json", "text/html")
    assert status == 200
    assert answer("If-None-Match", tag, '"x"')[0] == 304
    assert answer("If-Match", tag, '"x"')[0] == 200
    assert answer("OData-Version", "9", "4.0")[0] == 200  # no list: the last value counts


def test_etag_changes_with_the_entity_and_its_format(service: Service) -> None:
    path = replicated(service)
    first = send(service, "GET", path)
    assert first.json_body["@odata.etag"] == first.headers["ETag"]
    service.integrate()
    second = send(service, "GET", path, If_None_Match=first.headers["ETag"])
    assert second.json_body["status"] == "INTEGRATED"
    assert second.headers["ETag"] != first.headers["ETag"]
    none = send(service, "GET", path, Accept="application/json;odata.metadata=none")
    assert "@odata.etag" not in none.json_body
    assert none.headers["ETag"] != second.headers["ETag"]


@pytest.mark.parametrize("name", ["Isolation", "OData-Isolation"])
def test_snapshot_isolation_is_rejected(service: Service, name: str) -> None:
    response = service.http.get("/odata/PointRecords", headers={name: "snapshot"})
    assert response.status_code == 412
    error_of(response)


@pytest.mark.parametrize("path", PATHS)
def test_schema_has_only_the_current_version(service: Service, path: str) -> None:
    for name in ("$schemaversion", "SchemaVersion"):
        assert send(service, "GET", f"{path}?{name}=*").status_code == 200
        response = send(service, "GET", f"{path}?{name}=1.0")
        assert (response.status_code, error_of(response)["target"]) == (404, "$schemaversion")


def test_unsupported_odata_version_is_rejected(service: Service) -> None:
    assert send(service, "GET", "", OData_Version="4.0").status_code == 200
    for version in ("3.0", "5.0", "x", ""):
        response = send(service, "GET", "", OData_Version=version)
        assert (response.status_code, response.headers["OData-Version"]) == (400, "4.01")
        error_of(response)


def test_query_options_may_be_in_the_body(service: Service) -> None:
    record_id = service.accept([7, 8])[0]
    service.replicate()

    def post(path: str, body: str, kind: str = "text/plain", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return service.http.post(
            f"/odata/{path}", headers={"Content-Type": kind, **named}, body=body.encode()
        )

    response = post("PointRecords/$query?$select=id", f"$filter=id%20eq%20{record_id}&$count=true")
    assert response.status_code == 200
    assert response.json_body["value"] == [{"id": record_id}]
    assert response.json_body["@odata.count"] == 1
    assert post("PointRecords/$query", "$filter=nope").status_code == 400
    assert post("PointRecords/$query", "$filter=%ff").status_code == 400
    assert post("PointRecords/$query", "", "application/json").status_code == 415
    assert post("PointRecords/$query", "", Content_Encoding="gzip").status_code == 415
    assert post("PointRecords/$query", "x" * 70_000).status_code == 413
    rejected = service.get("/odata/PointRecords/$query")
    assert (rejected.status_code, rejected.headers["Allow"]) == (405, "POST, OPTIONS")


def test_entity_resource_resolves_an_id(service: Service) -> None:
    path = replicated(service).removeprefix("/")
    entity = send(service, "GET", f"/{path}")
    for entity_id in (path, f"/odata/{path}", f"http://localhost/odata/{path}"):
        for name in ("$id", "id"):
            response = send(service, "GET", f"/$entity?{name}={entity_id}", Host="localhost")
            assert response.json_body == entity.json_body
    cast = send(service, "GET", f"/$entity/PunchClock.PointRecord?$id={path}")
    assert cast.json_body == entity.json_body
    assert send(service, "OPTIONS", "/$entity/PunchClock.PointRecord").status_code == 204
    for name, status in (("PunchClock.IntegrationLog", 404), ("PunchClock.Nope", 501)):
        response = send(service, "GET", f"/$entity/{name}?$id={path}")
        assert response.status_code == status
        error_of(response)
    projected = send(service, "GET", f"/$entity?$id={path}&$select=employeeId&$expand=logs")
    assert projected.json_body["employeeId"] == 7
    assert len(projected.json_body["logs"]) == 1
    for query, status in {
        "": 400, "$id=": 400, "$id=PointRecords": 400, f"$id={path}&$id={path}": 400,
        f"$id={path}/status": 400, "$id=$metadata": 400, f"$id={path}?$top=1": 400, "$id=Nope": 404,
        "$id=http://elsewhere/odata/PointRecords(1)": 404, f"$id=PointRecords({UNKNOWN_ID})": 404,
    }.items():  # fmt: skip
        response = send(service, "GET", f"/$entity?{query}", Host="localhost")
        assert response.status_code == status, query
        error_of(response)
    assert send(service, "PUT", f"/$entity?$id={path}").status_code == 405


def test_entity_resource_resolves_an_id_in_a_body(service: Service) -> None:
    path = replicated(service).removeprefix("/")

    def post(url: str, body: str) -> HTTPResponse:
        headers = {"Content-Type": "text/plain"}
        return service.http.post(f"/odata/{url}", headers=headers, body=body.encode())

    entity = send(service, "GET", f"/{path}")
    for url, body in (
        ("$entity/$query", f"$id={path}"),
        ("$entity/$query", f"id=/odata/{path}"),
        (f"$entity/$query?$id={path}", ""),
        ("$entity/PunchClock.PointRecord/$query", f"$id={path}"),
    ):
        assert post(url, body).json_body == entity.json_body, url
    expanded = post(f"$entity/$query?$id={path}", "$select=employeeId&$expand=logs($select=number)")
    assert expanded.json_body["logs"][0]["number"] == 1
    for url, body, status in (
        ("$entity/$query", "", 400),
        (f"$entity/$query?$id={path}", f"$id={path}", 400),
        ("$entity/$query", "$id=PointRecords", 400),
        ("$entity/$query", f"$id=PointRecords({UNKNOWN_ID})", 404),
        ("$entity/PunchClock.IntegrationLog/$query", f"$id={path}", 404),
        ("$entity/PunchClock.Nope/$query", f"$id={path}", 501),
    ):
        response = post(url, body)
        assert response.status_code == status, (url, body)
        error_of(response)
    assert send(service, "GET", f"/$entity/$query?$id={path}").headers["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_api_gateway_has_a_route_for_each_method(service: Service, method: str) -> None:
    event = rest_event(
        method,
        "/odata/PointRecords",
        resource="/odata/{resource}",
        path_parameters={"resource": "PointRecords"},
        headers=WRITE,
        body=json.dumps(PUNCH) if method == "POST" else None,
    )
    response = app.app(event, context())
    expected = {"GET": 200, "HEAD": 200, "OPTIONS": 204, "POST": 201}
    assert response["statusCode"] == expected.get(method, 405)
    assert response["headers"]["OData-Version"] == "4.01"
