"""Text in URLs and headers is UTF-8, or the request is rejected: RFC 3986, section 2.5."""

import json
from urllib.parse import quote

import pytest

from tests.support.odata.batch import multipart, part, send, send_json, statuses
from tests.support.service import Service, error_of, punch

DEVICE = "portaria São João à esquerda"
FILTER = f"contains(deviceId,'{DEVICE[-16:]}')"
COUNT = "/odata/PointRecords/$count"


def count(service: Service, query: str, path: str = COUNT) -> int:
    response = service.get(f"{path}?{query}")
    assert response.status_code == 200, response.body
    return int(response.body)


@pytest.fixture
def replicated(service: Service) -> Service:
    """A service with one record, whose device has letters beyond ASCII."""
    assert service.post(punch(1, deviceId=DEVICE)).status_code == 201
    service.replicate()
    return service


def test_raw_and_encoded_characters_mean_the_same(replicated: Service) -> None:
    raw, encoded = FILTER.replace(" ", "%20"), quote(FILTER)
    assert count(replicated, f"$filter={raw}") == 1
    assert count(replicated, f"$filter={encoded}") == 1
    assert count(replicated, f"$filter=deviceId%20eq%20@é&@é='{quote(DEVICE)}'") == 1
    url = "PointRecords/$count?$filter="
    parts = [part(f"GET {url}{each} HTTP/1.1\n\n") for each in (raw, encoded)]
    in_batch = send(replicated, multipart(*parts))
    assert statuses(in_batch) == [200, 200]
    assert in_batch.body.count(b"\r\n\r\n1\r\n") == 2
    requests = [
        {"id": str(n), "method": "get", "url": url + each} for n, each in enumerate((raw, encoded))
    ]
    assert [each["body"] for each in send_json(replicated, *requests)] == [1, 1] or [
        each["body"] for each in send_json(replicated, *requests)
    ] == ["1", "1"]


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (f"{COUNT}?$filter=contains(deviceId,'%E7%E3o')", "$filter"),
        (f"{COUNT}?$filter=contains(deviceId,'%EF%BF%BD')", "$filter"),
        (f"{COUNT}?$filter=deviceId%20eq%20@a&@a='%FF'", "@a"),
        (f"{COUNT}?custom=%C3", "custom"),
        (f"{COUNT}?%E7=1", "?"),
        ("/odata/PointRecords?$expand=logs($filter=log%20eq%20'%E7';$top=1)", "$expand"),
        ("/odata/Point%E7", "path"),
        ("/odata/PointRecords(%E7)/status", "path"),
        ("/odata/PointRecords/%25E7", "path"),
        ("/odata/%FF/$metadata", "path"),
        ("/odata/$entity?$id=PointRecords(%25E7)", "path"),
    ],
)
def test_url_that_is_not_utf_8_is_rejected(service: Service, target: str, fault: str) -> None:
    response = service.get(target)
    assert response.status_code == 400, response.body
    error = error_of(response)
    assert error["target"] == fault
    assert "UTF-8" in error["message"]


def test_url_in_a_batch_that_is_not_utf_8_is_rejected(service: Service) -> None:
    urls = ["PointRecords(%E7)", "PointRecords?$filter=deviceId eq '%E7'", "%E7"]
    requests = [{"id": str(n), "method": "get", "url": url} for n, url in enumerate(urls)]
    for each in send_json(service, *requests):
        assert each["status"] == 400
        assert "UTF-8" in each["body"]["error"]["message"]
    parts = [part(f"GET {url} HTTP/1.1\n\n") for url in urls]
    latin = multipart(part("GET PointRecords?$filter=deviceId%20eq%20'à' HTTP/1.1\n\n"))
    headers = {"Prefer": "continue-on-error"}
    assert statuses(send(service, multipart(*parts), **headers)) == [400, 400, 400]
    assert statuses(send(service, latin.replace("à".encode(), b"\xe0"))) == [400]


def test_replacement_character_can_be_sought_in_a_body(replicated: Service) -> None:
    replicated.post(punch(2, deviceId="\ufffd"))
    replicated.replicate()
    response = replicated.http.post(
        f"{COUNT}/$query",
        headers={"Content-Type": "text/plain"},
        body=b"$filter=deviceId eq '%EF%BF%BD'",
    )
    assert response.body == b"1"
    [answer] = send_json(
        replicated,
        {"id": "1", "method": "get", "url": "PointRecords/$count?$filter=deviceId eq '\ufffd'"},
    )
    assert str(answer["body"]) == "1"


@pytest.mark.parametrize(
    "header",
    ["Accept", "Content-Type", "If-None-Match", "OData-MaxVersion", "OData-Version", "Prefer"],
)
def test_header_that_is_not_utf_8_is_rejected_if_it_is_read(service: Service, header: str) -> None:
    response = service.http.get("/odata/PointRecords", headers={header: "\ufffd"})
    assert response.status_code == 400
    assert error_of(response)["target"] == header.lower()
    requests = [{"id": "1", "method": "get", "url": "PointRecords", "headers": {header: "\ufffd"}}]
    [answer] = send_json(service, *requests)
    assert (answer["status"], answer["body"]["error"]["target"]) == (400, header.lower())


def test_header_that_nobody_reads_may_have_any_bytes(service: Service) -> None:
    for path in ("/odata/PointRecords", "/health"):
        assert service.http.get(path, headers={"User-Agent": "\ufffd"}).status_code == 200
    body = json.dumps(punch(3)).encode()
    headers = {"User-Agent": "\ufffd", "Content-Type": "application/json"}
    assert service.http.post("/point-record", headers=headers, body=body).status_code == 201
