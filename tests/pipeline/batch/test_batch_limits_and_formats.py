"""Batches as a whole: malformed batches, limits of size and time, and the response format."""

from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import NotAcceptableError
from chalicelib.odata import negotiation
from tests.support.odata.batch import (
    GET,
    MULTIPART,
    change_set,
    multipart,
    part,
    post,
    send,
    send_json,
    statuses,
)
from tests.support.service import Service, error_of, punch, wired


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", MULTIPART, 400),
        (b"--b\r\n", MULTIPART, 400),
        (multipart(part(GET))[:-6], MULTIPART, 400),
        (multipart(part(GET)), "multipart/mixed", 400),
        (multipart(part(GET)), "multipart/mixed; boundary=other", 400),
        (multipart(part(GET)), "multipart/mixed; boundary=" + "b" * 71, 400),
        (multipart(part(GET)), "multipart/mixed; boundary*=idna''abc", 400),
        (multipart(part(GET)), "multipart/mixed; boundary*=punycode''%ff", 400),
        (multipart(part(GET)), "multipart/mixed; boundary*0*=x'y'a; boundary*=b", 400),
        (multipart(part(GET)), "multipart/mixed; boundary=b\0", 400),
        (multipart(part(GET)), 'multipart/mixed; boundary="b', 400),
        (multipart(part(GET)), 'multipart/mixed; type="; boundary=b"', 400),
        (multipart(part(GET)), "text/plain", 415),
        (multipart(part(GET)), "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"requests": {}}', "application/json", 400),
        (b'{"requests": [1]}', "application/json", 400),
        (b'{"requests": [{"method": "get", "url": "x"}]}', "application/json", 400),
        (b'{"requests": [{"id": 1, "method": "get", "url": "x"}]}', "application/json", 400),
        (b'{"requests": [{"id": "\\r", "method": "get", "url": "x"}]}', "application/json", 400),
        (b'{"requests": [{"id": "1"}, {"id": "1"}]}', "application/json", 400),
        (b'{"requests": [{"id": "1", "atomicityGroup": "1"}]}', "application/json", 400),
        (multipart(part(GET)) + b" " * 1_048_576, MULTIPART, 413),
    ],
)
def test_malformed_batch_is_rejected_as_a_whole(
    service: Service, body: bytes, content_type: str, status: int
) -> None:
    response = send(service, body, content_type)
    assert response.status_code == status
    error_of(response)


def test_compressed_batch_or_part_is_rejected(service: Service) -> None:
    rejection = send(service, multipart(part(GET)), Content_Encoding="gzip")
    assert rejection.status_code == 415
    assert error_of(rejection)["target"] == "Content-Encoding"
    compressed = part(post(1, "Content-Encoding: gzip"))
    for each in (compressed, change_set(compressed, part(post(2)))):
        response = send(service, multipart(each))
        assert statuses(response) == [415]
        assert b"Accept-Encoding: identity" in response.body


def test_size_limit_covers_all_responses_of_a_batch(
    service: Service, variables: dict[str, str]
) -> None:
    service.accept(range(1, 10))
    service.replicate()
    parts = [{"id": str(n), "method": "get", "url": "PointRecords"} for n in range(9)]
    with wired(variables | {"ODATA_ANSWER_BYTES": "10000"}):
        responses = send_json(service, *parts)
    sizes = [len(each["body"].get("value", [])) for each in responses]
    # The third page ends early. Not a single record fits in the later ones.
    assert sizes[:2] == [9, 9]
    assert 0 < sizes[2] < 9
    assert "@odata.nextLink" in responses[2]["body"]
    assert sizes[3:] == [0] * 6
    assert {each["status"] for each in responses[3:]} == {400}
    assert "batch response too large" in responses[-1]["body"]["error"]["message"]


def test_batch_without_size_left_executes_no_further_request(
    service: Service, variables: dict[str, str]
) -> None:
    parts: list[dict[str, Any]] = [
        {"id": "1", "method": "get", "url": "$metadata"},
        {"id": "2", "method": "post", "url": "PointRecords", "body": punch(2)},
    ]
    with wired(variables | {"ODATA_ANSWER_BYTES": "1024"}):
        responses = send_json(service, *parts)
    assert [each["status"] for each in responses] == [200, 400]
    assert "ODATA_ANSWER_BYTES" in responses[1]["body"]["error"]["message"]
    service.replicate()
    assert service.rows("SELECT count(*) FROM point_record") == [(0,)]


def test_empty_batch_has_an_empty_response(service: Service) -> None:
    assert statuses(send(service, b"--b--")) == []
    assert send_json(service) == []


def test_number_of_requests_in_a_batch_is_limited(service: Service) -> None:
    one = {"method": "get", "url": "$metadata"}
    response = send(service, {"requests": [{**one, "id": str(n)} for n in range(101)]})
    assert response.status_code == 400
    assert "100 requests (ODATA_BATCH_REQUESTS)" in error_of(response)["message"]
    assert len(send_json(service, *({**one, "id": str(n)} for n in range(100)))) == 100


def test_batch_without_time_left_rejects_its_requests(
    variables: dict[str, str], database: Any, tmp_path: Path
) -> None:
    with wired(variables | {"ODATA_BATCH_TIMEOUT_S": "0"}):
        service = Service.of(database, tmp_path)
        (response,) = send_json(service, {"id": "1", "method": "get", "url": "PointRecords"})
        assert response["status"] == 503
        assert response["headers"]["retry-after"]


def test_batch_allows_only_post(service: Service) -> None:
    response = service.get("/odata/$batch")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, OPTIONS")


def test_accept_header_chooses_the_response_format(service: Service) -> None:
    as_json = send(
        service,
        multipart(part(GET, "1"), change_set(part(post(7), "2"))),
        Accept="application/json",
    )
    assert as_json.headers["Content-Type"] == "application/json"
    first, second = as_json.json_body["responses"]
    assert (first["id"], first["status"], second["status"]) == ("1", 200, 201)
    assert second["atomicityGroup"]
    requests = [{"id": "a", "method": "get", "url": "PointRecords"}]
    as_multipart = send(service, {"requests": requests}, Accept="multipart/mixed")
    assert statuses(as_multipart) == [200]
    assert "Content-ID: a" in as_multipart.body.decode()
    assert send(service, multipart(part(GET)), Accept="text/html").status_code == 406
    assert statuses(send(service, multipart(part(GET)), Accept="*/*")) == [200]


@pytest.mark.parametrize(
    ("accept", "version", "of_multipart", "of_json"),
    [
        # OData 4.0 has no batches in JSON: the header is about the individual responses.
        ("application/json", "4.0", "multipart/mixed", "application/json"),
        ("application/json;odata.metadata=minimal", "4.0", "multipart/mixed", "application/json"),
        ("multipart/mixed", "4.0", "multipart/mixed", "multipart/mixed"),
        ("text/html", "4.0", "406", "406"),
        ("application/json", "4.01", "application/json", "application/json"),
        ("application/json", "", "application/json", "application/json"),
        ("", "", "multipart/mixed", "application/json"),
        ("*/*", "", "multipart/mixed", "application/json"),
        ("application/json, multipart/mixed", "", "multipart/mixed", "application/json"),
        ("multipart/mixed, application/json", "", "multipart/mixed", "application/json"),
        ("application/json, */*", "", "multipart/mixed", "application/json"),
        ("application/json, */*;q=0.1", "", "application/json", "application/json"),
        ("application/json;q=0.5, multipart/*", "", "multipart/mixed", "multipart/mixed"),
        ("multipart/mixed;q=0.5, application/json", "", "application/json", "application/json"),
        ("multipart/mixed;q=0, */*", "", "application/json", "application/json"),
        ("application/json;q=0, */*", "", "multipart/mixed", "multipart/mixed"),
        ("application/json;nope=1, multipart/mixed", "", "multipart/mixed", "multipart/mixed"),
        ("application/json;nope=1", "", "406", "406"),
    ],
)
def test_response_has_the_format_of_the_request_unless_another_is_preferred(
    accept: str, version: str, of_multipart: str, of_json: str
) -> None:
    headers = {"accept": accept} | ({"odata-maxversion": version} if version else {})
    for as_json, expected in ((False, of_multipart), (True, of_json)):
        try:
            in_json = negotiation.wants_json_batch(headers, None, as_json)
            chosen = "application/json" if in_json else "multipart/mixed"
        except NotAcceptableError:
            chosen = "406"
        assert chosen == expected


def test_format_option_overrides_the_version() -> None:
    headers = {"accept": "multipart/mixed", "odata-maxversion": "4.0"}
    assert negotiation.wants_json_batch(headers, "json", False)
    assert not negotiation.wants_json_batch({}, "multipart/mixed", True)


def test_batch_of_a_4_0_client_that_accepts_json_is_multipart(service: Service) -> None:
    response = send(
        service,
        multipart(part("GET PointRecords HTTP/1.1\nAccept: application/json\n\n")),
        Accept="application/json",
        OData_MaxVersion="4.0",
        OData_Version="4.0",
    )
    assert statuses(response) == [200]
    assert b"OData-Version: 4.0\r\n" in response.body


@pytest.mark.parametrize(
    ("query", "status", "media_type"),
    [
        ("$format=json", 200, "application/json"),
        ("format=application/json", 200, "application/json"),
        ("$format=multipart/mixed", 200, "multipart/mixed"),
        ("$format=xml", 406, "application/json"),
        ("$top=1", 400, "application/json"),
    ],
)
def test_batch_accepts_only_the_format_option(
    service: Service, query: str, status: int, media_type: str
) -> None:
    response = service.http.post(
        f"/odata/$batch?{query}",
        headers={"Content-Type": MULTIPART, "Accept": "multipart/mixed"},
        body=multipart(part(GET)),
    )
    assert response.status_code == status
    assert response.headers["Content-Type"].partition(";")[0] == media_type
