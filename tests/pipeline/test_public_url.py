"""PUBLIC_URL: the service behind a CDN, whose address links have and references may have."""

import json
import re
from typing import Any

import pytest

import app
from chalicelib import container
from tests.support.lambda_events import HOST, context, rest_event, schedule_event
from tests.support.service import PUNCH, Service, punch

PUBLIC = "https://api.example.com/punch"
DIRECT = f"https://{HOST}/prod"
JSON = {"Content-Type": "application/json"}
# What any client can send, and what must be in no response.
FORWARDED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
    "X-Original-URL": "/evil",
    "Forwarded": "host=evil.example;proto=https",
    "X-Host": "evil.example",
}
URL = re.compile(r"https?:[^\"<>\s]*")


@pytest.fixture
def variables(variables: dict[str, str]) -> dict[str, str]:
    # The slash at the end is ignored.
    return variables | {"PUBLIC_URL": f"{PUBLIC}/"}


def call(method: str, path: str, body: Any = None, /, **options: Any) -> dict[str, Any]:
    """Call the app as API Gateway does, addressed by its own host and stage."""
    segments = path.strip("/").split("/")
    names = ("resource", "property", "third", "fourth", "fifth")[: len(segments) - 1]
    resource = "/".join(["/odata", *(f"{{{name}}}" for name in names)])
    event = rest_event(
        method,
        path,
        resource=resource if segments[0] == "odata" else path,
        path_parameters=dict(zip(names, segments[1:], strict=True)) or None,
        body=body if isinstance(body, str) or body is None else json.dumps(body),
        query={name: [value] for name, value in options.pop("query", {}).items()} or None,
        headers={**JSON, **FORWARDED, **options.pop("headers", {})},
        stage="prod",
    )
    response: dict[str, Any] = app.app(event, context())
    return response


def urls(response: dict[str, Any]) -> list[str]:
    """Return every URL of this service in a response."""
    text = json.dumps({**response["headers"]}) + (response["body"] or "")
    assert "evil" not in text
    return [each for each in URL.findall(text) if "oasis-open" not in each]


def batch(*references: str) -> list[int]:
    """Return the status of a GET of each URL in one batch."""
    requests = [
        {"id": str(index), "method": "GET", "url": url} for index, url in enumerate(references)
    ]
    response = call("POST", "/odata/$batch", {"requests": requests})
    return [each["status"] for each in json.loads(response["body"])["responses"]]


def test_links_start_with_the_public_url(service: Service) -> None:
    created = call("POST", "/point-record", PUNCH)
    assert created["headers"]["Location"].startswith(f"{PUBLIC}/point-record/")
    minimal = {"Prefer": "return=minimal"}
    entity = call("POST", "/odata/PointRecords", punch(2), headers=minimal)
    location = entity["headers"]["Location"]
    assert location == entity["headers"]["OData-EntityId"]
    assert location.startswith(f"{PUBLIC}/odata/PointRecords(")
    for employee in range(3, 8):
        call("POST", "/point-record", punch(employee))
    app.replicate(schedule_event(), context())
    app.integrate(schedule_event(), context())

    full = {"$format": "application/json;odata.metadata=full"}
    records = "/odata/PointRecords"
    responses = [
        call("GET", "/odata", query=full),
        call("GET", records, query={**full, "$top": "1"}),
        call("GET", records, query={"$expand": "logs"}, headers={"Prefer": "maxpagesize=2"}),
        call("GET", f"{records}/$ref"),
        call("GET", records, query={**full, "$apply": "groupby((status))"}),
        call("GET", f"/odata/{location.rpartition('/')[2]}", query={**full, "$expand": "logs"}),
        call("POST", f"{records}/$query", "$top=1", headers={"Content-Type": "text/plain"}),
        call("GET", "/odata/$entity", query={"$id": location}),
    ]
    for response in responses:
        assert response["statusCode"] == 200
        found = urls(response)
        assert found
        assert all(each.startswith(f"{PUBLIC}/") for each in found), found
    assert f"{PUBLIC}/odata/PointRecords?" in responses[2]["body"]  # the nextLink


def test_references_in_the_public_form_and_in_that_of_the_request_are_understood(
    service: Service,
) -> None:
    record = json.loads(call("POST", "/odata/PointRecords", PUNCH)["body"])["id"]
    entity = f"/odata/PointRecords({record})"
    public = [
        f"{PUBLIC}{entity}",
        f"HTTP://API.example.com:443/punch{entity}",
        f"/punch{entity}",
        entity.removeprefix("/odata/"),
    ]
    direct = [f"{DIRECT}{entity}", f"/prod{entity}"]
    foreign = [
        f"https://other.example/punch{entity}",
        f"{PUBLIC}x{entity}",
        f"https://api.example.com/prod{entity}",
        f"https://{HOST}/punch{entity}",
        f"/other{entity}",
        f"/{entity}",
    ]
    assert batch(*public, *direct, *foreign) == [200] * 6 + [404] * 6
    for url in (*public, *direct):
        assert call("GET", "/odata/$entity", query={"$id": url})["statusCode"] == 200
    for url in foreign:
        assert call("GET", "/odata/$entity", query={"$id": url})["statusCode"] == 404


def test_reference_to_a_created_record_has_no_host_of_a_header(service: Service) -> None:
    requests = [
        {"id": "1", "method": "POST", "url": f"{PUBLIC}/odata/PointRecords", "headers": JSON,
         "body": punch(9)},
        {"id": "2", "method": "GET", "url": "$1/status", "dependsOn": ["1"]},
    ]  # fmt: skip
    response = call("POST", "/odata/$batch", {"requests": requests})
    first, second = json.loads(response["body"])["responses"]
    assert (first["status"], second["status"]) == (201, 200)
    assert all(each.startswith(f"{PUBLIC}/odata/") for each in urls(response))


@pytest.mark.parametrize("host", ["evil.example/x", "a b", "ada@evil.example", "a:b"])
def test_host_that_is_no_host_is_rejected_before_anything_is_stored(
    host: str, service: Service
) -> None:
    for method, path, body in (
        ("POST", "/point-record", punch(10)),
        ("GET", "/odata", None),
        ("POST", "/odata/PointRecords", punch(11)),
        ("GET", "/health", None),
    ):
        response = call(method, path, body, headers={"Host": host})
        assert response["statusCode"] == 400, path
        assert json.loads(response["body"])["error"]["target"] == "Host"
    service.replicate()
    assert service.statuses() == {}


def test_forwarded_headers_are_ignored_without_a_public_url(
    variables: dict[str, str], service: Service
) -> None:
    container.settings.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PUBLIC_URL")
        created = call("POST", "/point-record", PUNCH)
        assert created["headers"]["Location"].startswith(f"{DIRECT}/point-record/")
        assert all(each.startswith(f"{DIRECT}/") for each in urls(call("GET", "/odata")))
    container.settings.cache_clear()
