"""Multipart batches: each part gets the response of the same request alone, in order."""

import re

import pytest

import app
from tests.support.lambda_events import HOST, context, rest_event
from tests.support.odata.batch import (
    GET,
    MULTIPART,
    change_set,
    multipart,
    part,
    post,
    send,
    statuses,
)
from tests.support.service import Service

LOG = "IntegrationLogs(pointId=00000000-0000-8000-8000-000000000000,number=1)"


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_multipart_responses_are_in_the_order_of_the_requests(service: Service, end: str) -> None:
    response = send(
        service,
        b"preamble"
        + end.encode()
        + multipart(part(GET), change_set(part(post(7), "1")), part(GET, "9"), end=end)
        + b"epilogue",
    )
    assert statuses(response) == [200, 201, 200]
    text = response.body.decode()
    assert re.findall(r"Content-ID: (\w+)", text) == ["1", "9"]
    assert re.findall(r"boundary=(\w+?)_", text) == ["changesetresponse"]
    assert '"employeeId":7' in text
    assert "Location: " in text


@pytest.mark.parametrize(
    ("parameters", "boundary"),
    [
        ("boundary=----=_Part_1:2?", "----=_Part_1:2?"),
        ('charset=utf-8;Boundary = "a b;c" ; x=y', "a b;c"),
        (r'type="\"; boundary=a"; boundary=b', "b"),
        ("boundary=b; boundary=c", "b"),
    ],
)
def test_boundary_is_a_parameter_in_quotes_or_not(
    service: Service, parameters: str, boundary: str
) -> None:
    body = multipart(part(GET), boundary=boundary)
    assert statuses(send(service, body, f"multipart/mixed; {parameters}")) == [200]


def test_part_url_may_be_absolute_or_relative(service: Service) -> None:
    (record_id,) = service.accept([7])
    service.replicate()
    requests = [
        f"GET {prefix}PointRecords({record_id})?$select=id HTTP/1.1\nHost: localhost\n\n"
        for prefix in ("http://localhost/odata/", "https://LOCALHOST/odata/", "/odata/", "", "./")
    ]
    response = send(service, multipart(*map(part, requests)), Host="localhost")
    assert statuses(response) == [200] * 5
    for url in ("http://elsewhere/odata/PointRecords", "/PointRecords", "/odatax/PointRecords"):
        response = send(service, multipart(part(f"GET {url} HTTP/1.1\n\n")), Host="localhost")
        assert statuses(response) == [404], url


def test_duplicate_content_id_is_rejected(service: Service) -> None:
    reference = part("GET $1/$count HTTP/1.1\n\n")
    body = multipart(part(GET, "1"), part(GET, "1"), part(GET), reference)
    response = send(service, body, Prefer="continue-on-error")
    # The reference $1 is ambiguous.
    assert statuses(response) == [200, 400, 200, 424]
    assert "The Content-ID 1 is used more than once" in response.body.decode()
    duplicate = multipart(change_set(part(post(1), "1"), part(post(2), "1")))
    assert statuses(send(service, duplicate)) == [400]
    service.replicate()
    assert service.rows("SELECT count(*) FROM point_record") == [(0,)]


def test_absolute_path_includes_the_prefix_of_the_stage(service: Service) -> None:
    body = multipart(
        part("GET /api/odata/PointRecords HTTP/1.1\n\n"),
        part("GET /odata/PointRecords HTTP/1.1\n\n"),
    )
    event = rest_event(
        "POST",
        "/odata/$batch",
        resource="/odata/{resource}",
        path_parameters={"resource": "$batch"},
        headers={"Content-Type": MULTIPART, "Prefer": "odata.continue-on-error"},
        body=body.decode(),
    )
    response = app.app(event, context())
    assert response["statusCode"] == 200
    assert re.findall(r"HTTP/1.1 (\d+)", response["body"]) == ["200", "404"]
    assert f"https://{HOST}/api/odata/$metadata#PointRecords" in response["body"]


def test_multipart_batch_stops_at_first_error_unless_preferred_otherwise(service: Service) -> None:
    body = multipart(part(GET), part("GET Nope HTTP/1.1\n\n"), part(GET))
    assert statuses(send(service, body)) == [200, 404]
    for preference in ("continue-on-error", "odata.continue-on-error=true"):
        response = send(service, body, Prefer=preference)
        assert statuses(response) == [200, 404, 200]
        assert response.headers["Preference-Applied"] == "continue-on-error=true"
    assert statuses(send(service, body, Prefer="continue-on-error=false")) == [200, 404]


@pytest.mark.parametrize(
    ("malformed", "status"),
    [
        (part("PointRecords"), 400),
        (part(""), 400),
        (part("GET PointRecords HTTP/1.1\nno header\n\n"), 400),
        (part("GET PointRecords?$top=x HTTP/1.1\n\n"), 400),
        (part("GET PointRecords?$filter=%ff HTTP/1.1\n\n"), 400),
        (part("get PointRecords HTTP/1.1\n\n"), 405),
        (
            part(f"DELETE {LOG} HTTP/1.1\n\n"),
            405,
        ),
        (part("GET $batch HTTP/1.1\n\n"), 400),
        (part("POST $batch HTTP/1.1\n\n"), 400),
        (part("GET $7 HTTP/1.1\n\n"), 400),
        (part("GET $all HTTP/1.1\n\n"), 501),
        ("\n" + GET, 400),
        ("Content-Type: text/plain\n\n" + GET, 400),
        (change_set(part(GET)), 400),
        (change_set("x"), 400),
        (change_set(), 400),
        (change_set(change_set(part(post(8)))), 400),
        ("Content-Type: multipart/mixed\n\nx", 400),
        ("Content-Type: multipart/mixed; boundary*=idna''abc\n\nx", 400),
        ("Content-Type: multipart/mixed; boundary=\0\n\nx", 400),
        ("Content-Type: multipart/mixed; boundary=c\n\n--c\n\n" + part(post(8)), 400),
    ],
)
def test_malformed_part_gets_an_error_response_of_its_own(
    service: Service, malformed: str, status: int
) -> None:
    body = multipart(malformed, part(GET))
    response = send(service, body, Prefer="continue-on-error")
    assert statuses(response) == [status, 200]
    assert '{"error": {"code": "' in response.body.decode()
    service.replicate()
    assert service.statuses() == {}


def test_part_has_its_own_headers_and_inherits_the_version(service: Service) -> None:
    minimal = part(post(7, "Prefer: return=minimal"))
    text = send(service, multipart(minimal), OData_MaxVersion="4.0").body.decode()
    assert "HTTP/1.1 204 No Content" in text
    assert "OData-EntityId: " in text
    assert "OData-Version: 4.0\r\n" in text
    assert "Content-Length" not in text
    full = "GET PointRecords HTTP/1.1\nAccept: application/json;odata.metadata=full\n\n"
    assert "odata.metadata=full" in send(service, multipart(part(full))).body.decode()
