"""Methods, conditions and headers of every OData route."""

import json
from typing import Any

import pytest
from chalice.test import HTTPResponse

import app
from tests.support.lambda_events import context, rest_event
from tests.support.service import PUNCH, Service, error_of

NOBODY = "00000000-0000-0000-0000-000000000000"
PATHS = ["", "/", "/$metadata", "/PointRecords", "/PointRecords/$count", "/IntegrationLogs"]
WRITE = {"Content-Type": "application/json"}


def ask(service: Service, method: str, path: str, **headers: str) -> HTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.http.request(method, f"/odata{path}", headers=named, body=b"")


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_a_body(service: Service, path: str) -> None:
    got, head = ask(service, "GET", path), ask(service, "HEAD", path)
    assert (head.status_code, head.body) == (200, b"")
    assert head.headers == got.headers
    assert ask(service, "HEAD", "/PointRecords(x)").status_code == 400
    assert ask(service, "HEAD", "/PointRecords(x)").body == b""


@pytest.mark.parametrize("path", PATHS)
def test_options_tell_what_is_allowed(service: Service, path: str) -> None:
    answer = ask(service, "OPTIONS", path)
    assert (answer.status_code, answer.body) == (204, b"")
    posts = ", POST" if path == "/PointRecords" else ""
    assert answer.headers["Allow"] == f"GET, HEAD, OPTIONS{posts}"
    assert answer.headers["OData-Version"] == "4.01"
    assert ask(service, "OPTIONS", "/Nope").status_code == 404
    assert ask(service, "OPTIONS", "/PointRecords(x)").status_code == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", [*PATHS, f"/PointRecords({NOBODY})", f"/PointRecords({NOBODY})/id"]
)
def test_nothing_can_be_changed_or_deleted(service: Service, method: str, path: str) -> None:
    answer = ask(service, method, path, OData_MaxVersion="4.0")
    assert answer.status_code == 405
    assert answer.headers["Allow"].startswith("GET, HEAD, OPTIONS")
    assert answer.headers["OData-Version"] == "4.0"
    assert method in error_of(answer)["message"]
    assert ask(service, method, "/Nope").status_code == 404


def test_a_token_against_forgery_may_be_asked_for(service: Service) -> None:
    for method in ("GET", "HEAD"):
        assert ask(service, method, "", X_CSRF_Token="Fetch").status_code == 200


def replicated(service: Service) -> str:
    (record_id,) = service.accept([7])
    service.replicate()
    return f"/PointRecords({record_id})"


def test_what_the_client_has_already_is_not_sent_again(service: Service) -> None:
    entity = replicated(service)
    for path in [*PATHS, entity, f"{entity}/status", f"{entity}/status/$value"]:
        answer = ask(service, "GET", path)
        tag = answer.headers["ETag"]
        assert tag.startswith('W/"')
        for known in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = ask(service, "GET", path, If_None_Match=known)
            assert (again.status_code, again.body) == (304, b""), path
            assert again.headers["ETag"] == tag
            assert again.headers["OData-Version"] == "4.01"
        other = ask(service, "GET", path, If_None_Match='W/"x"')
        assert (other.status_code, other.body) == (200, answer.body)
        assert ask(service, "GET", path, If_Match=tag).status_code == 200
        assert ask(service, "GET", path, If_Match="*").status_code == 200
        refused = ask(service, "GET", path, If_Match='W/"x"')
        assert (refused.status_code, error_of(refused)["code"]) == (412, "PreconditionFailed")


def test_the_tag_of_an_entity_changes_with_it(service: Service) -> None:
    path = replicated(service)
    first = ask(service, "GET", path)
    assert first.json_body["@odata.etag"] == first.headers["ETag"]
    service.integrate()
    second = ask(service, "GET", path, If_None_Match=first.headers["ETag"])
    assert second.json_body["status"] == "INTEGRATED"
    assert second.headers["ETag"] != first.headers["ETag"]
    none = ask(service, "GET", path, Accept="application/json;odata.metadata=none")
    assert "@odata.etag" not in none.json_body
    assert none.headers["ETag"] != second.headers["ETag"]


@pytest.mark.parametrize("name", ["Isolation", "OData-Isolation"])
def test_snapshots_are_refused(service: Service, name: str) -> None:
    answer = service.http.get("/odata/PointRecords", headers={name: "snapshot"})
    assert answer.status_code == 412
    error_of(answer)


@pytest.mark.parametrize("path", PATHS)
def test_there_is_one_version_of_the_schema(service: Service, path: str) -> None:
    for name in ("$schemaversion", "SchemaVersion"):
        assert ask(service, "GET", f"{path}?{name}=*").status_code == 200
        answer = ask(service, "GET", f"{path}?{name}=1.0")
        assert (answer.status_code, error_of(answer)["target"]) == (404, "$schemaversion")


def test_a_version_that_is_not_spoken_is_refused(service: Service) -> None:
    assert ask(service, "GET", "", OData_Version="4.0").status_code == 200
    for version in ("3.0", "5.0", "x", ""):
        answer = ask(service, "GET", "", OData_Version=version)
        assert (answer.status_code, answer.headers["OData-Version"]) == (400, "4.01")
        error_of(answer)


def test_an_option_may_stand_in_the_body(service: Service) -> None:
    record_id = service.accept([7, 8])[0]
    service.replicate()

    def post(path: str, body: str, kind: str = "text/plain", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return service.http.post(
            f"/odata/{path}", headers={"Content-Type": kind, **named}, body=body.encode()
        )

    answer = post("PointRecords/$query?$select=id", f"$filter=id%20eq%20{record_id}&$count=true")
    assert answer.status_code == 200
    assert answer.json_body["value"] == [{"id": record_id}]
    assert answer.json_body["@odata.count"] == 1
    assert post("PointRecords/$query", "$filter=nope").status_code == 400
    assert post("PointRecords/$query", "$filter=%ff").status_code == 400
    assert post("PointRecords/$query", "", "application/json").status_code == 415
    assert post("PointRecords/$query", "", Content_Encoding="gzip").status_code == 415
    assert post("PointRecords/$query", "x" * 70_000).status_code == 413
    got = service.get("/odata/PointRecords/$query")
    assert (got.status_code, got.headers["Allow"]) == (405, "POST, OPTIONS")


def test_an_entity_is_found_by_its_id(service: Service) -> None:
    path = replicated(service).removeprefix("/")
    found = ask(service, "GET", f"/{path}")
    for entity_id in (path, f"/odata/{path}", f"http://localhost/odata/{path}"):
        for name in ("$id", "id"):
            answer = ask(service, "GET", f"/$entity?{name}={entity_id}", Host="localhost")
            assert answer.json_body == found.json_body
    some = ask(service, "GET", f"/$entity?$id={path}&$select=employeeId&$expand=logs")
    assert some.json_body["employeeId"] == 7
    assert len(some.json_body["logs"]) == 1
    for query, status in {
        "": 400, "$id=": 400, "$id=PointRecords": 400, f"$id={path}&$id={path}": 400,
        f"$id={path}/status": 400, "$id=$metadata": 400, f"$id={path}?$top=1": 400, "$id=Nope": 404,
        "$id=http://elsewhere/odata/PointRecords(1)": 404, f"$id=PointRecords({NOBODY})": 404,
    }.items():  # fmt: skip
        answer = ask(service, "GET", f"/$entity?{query}", Host="localhost")
        assert answer.status_code == status, query
        error_of(answer)
    assert ask(service, "PUT", f"/$entity?$id={path}").status_code == 405


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
    answer = app.app(event, context())
    expected = {"GET": 200, "HEAD": 200, "OPTIONS": 204, "POST": 201}
    assert answer["statusCode"] == expected.get(method, 405)
    assert answer["headers"]["OData-Version"] == "4.01"
