"""Batches, multipart and JSON: each part is answered as it would be alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chalice.test import HTTPResponse

import app
from tests.pipeline.lambda_events import HOST, context, rest_event
from tests.pipeline.service import Service, error_of, punch, wired

NOBODY = "00000000-0000-0000-0000-000000000000"
GET = "GET PointRecords HTTP/1.1\n\n"
MULTIPART = "multipart/mixed; boundary=b"


def part(request: str, content_id: str = "") -> str:
    named = f"Content-ID: {content_id}\n" if content_id else ""
    return f"Content-Type: application/http\nContent-Transfer-Encoding: binary\n{named}\n{request}"


def post(employee: int, *headers: str, **fields: Any) -> str:
    lines = "".join(f"{each}\n" for each in headers)
    body = json.dumps(punch(employee, **fields))
    return f"POST PointRecords HTTP/1.1\nContent-Type: application/json\n{lines}\n{body}"


def multipart(*parts: str, boundary: str = "b", end: str = "\r\n") -> bytes:
    text = "".join(f"--{boundary}\n{each}\n" for each in parts) + f"--{boundary}--\n"
    return text.replace("\r\n", "\n").replace("\n", end).encode()


def change_set(*parts: str, boundary: str = "c") -> str:
    inner = multipart(*parts, boundary=boundary, end="\n").decode()
    return f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n{inner}'


def send(
    service: Service, body: bytes | Any, content_type: str = MULTIPART, **headers: str
) -> HTTPResponse:
    """POST a batch: bytes as they are, anything else as JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if not isinstance(body, bytes):
        body, content_type = json.dumps(body).encode(), "application/json"
    return service.http.post(
        "/odata/$batch", headers={"Content-Type": content_type, **named}, body=body
    )


def statuses(answer: HTTPResponse) -> list[int]:
    """Return the status of each part of a multipart answer."""
    assert answer.status_code == 200, answer.body
    assert answer.headers["Content-Type"].startswith("multipart/mixed;boundary=batchresponse_")
    assert b"\n" not in answer.body.replace(b"\r\n", b"")
    return [
        int(each) for each in re.findall(r"^HTTP/1.1 (\d+) ", answer.body.decode(), re.MULTILINE)
    ]


def asked(service: Service, *requests: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    """Send a batch of JSON and return the responses."""
    answer = send(service, {"requests": list(requests)}, **headers)
    assert answer.status_code == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json_body) == {"responses"}
    return answer.json_body["responses"]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_parts_are_answered_in_their_order(service: Service, end: str) -> None:
    answer = send(
        service,
        b"preamble"
        + end.encode()
        + multipart(part(GET), change_set(part(post(7), "1")), part(GET, "9"), end=end)
        + b"epilogue",
    )
    assert statuses(answer) == [200, 201, 200]
    text = answer.body.decode()
    assert re.findall(r"Content-ID: (\w+)", text) == ["1", "9"]
    assert re.findall(r"boundary=(\w+?)_", text) == ["changesetresponse"]
    assert '"employeeId":7' in text
    assert "Location: " in text


def test_urls_may_be_absolute_or_relative(service: Service) -> None:
    (record_id,) = service.accept([7])
    service.replicate()
    requests = [
        f"GET {prefix}PointRecords({record_id})?$select=id HTTP/1.1\nHost: localhost\n\n"
        for prefix in ("http://localhost/odata/", "https://LOCALHOST/odata/", "/odata/", "", "./")
    ]
    answer = send(service, multipart(*map(part, requests)), Host="localhost")
    assert statuses(answer) == [200] * 5
    for url in ("http://elsewhere/odata/PointRecords", "/PointRecords", "/odatax/PointRecords"):
        answer = send(service, multipart(part(f"GET {url} HTTP/1.1\n\n")), Host="localhost")
        assert statuses(answer) == [404], url


def test_a_name_is_one_requests_alone(service: Service) -> None:
    reference = part("GET $1/$count HTTP/1.1\n\n")
    body = multipart(part(GET, "1"), part(GET, "1"), part(GET), reference)
    answer = send(service, body, Prefer="continue-on-error")
    # Whom $1 means, nobody can tell.
    assert statuses(answer) == [200, 400, 200, 424]
    assert "two requests with the Content-ID 1" in answer.body.decode()
    twice = multipart(change_set(part(post(1), "1"), part(post(2), "1")))
    assert statuses(send(service, twice)) == [400]
    service.replicate()
    assert service.rows("SELECT count(*) FROM point_record") == [(0,)]


def test_what_is_depended_on_must_come_before(service: Service) -> None:
    one = {"method": "get", "url": "PointRecords"}
    requests = [
        {"id": "1", **one, "dependsOn": ["1"]},
        {"id": "2", **one, "dependsOn": ["3"]},
        {"id": "3", **one, "dependsOn": ["2"]},
    ]
    answers = asked(service, *requests)
    assert [each["status"] for each in answers] == [400, 400, 424]
    assert [each["body"]["error"].get("target") for each in answers[:2]] == ["dependsOn"] * 2


@pytest.mark.parametrize("host", ["[::1", "a]b", "[x]:y", "\u2100.example"])
def test_a_host_that_is_none_is_only_repeated(service: Service, host: str) -> None:
    answer = send(
        service, {"requests": [{"id": "1", "method": "get", "url": "PointRecords"}]}, Host=host
    )
    assert [each["status"] for each in answer.json_body["responses"]] == [200]
    path = f"/odata/$entity?$id=PointRecords({NOBODY})"
    assert service.http.get(path, headers={"Host": host}).status_code == 404


def test_the_prefix_of_a_stage_belongs_to_the_service(service: Service) -> None:
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
    answer = app.app(event, context())
    assert answer["statusCode"] == 200
    assert re.findall(r"HTTP/1.1 (\d+)", answer["body"]) == ["200", "404"]
    assert f"https://{HOST}/api/odata/$metadata#PointRecords" in answer["body"]


def test_the_first_error_ends_a_multipart_batch_unless_told_otherwise(service: Service) -> None:
    body = multipart(part(GET), part("GET Nope HTTP/1.1\n\n"), part(GET))
    assert statuses(send(service, body)) == [200, 404]
    for preference in ("continue-on-error", "odata.continue-on-error=true"):
        answer = send(service, body, Prefer=preference)
        assert statuses(answer) == [200, 404, 200]
        assert answer.headers["Preference-Applied"] == "continue-on-error=true"
    assert statuses(send(service, body, Prefer="continue-on-error=false")) == [200, 404]


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (part("PointRecords"), 400),
        (part(""), 400),
        (part("GET PointRecords HTTP/1.1\nno header\n\n"), 400),
        (part("GET PointRecords?$top=x HTTP/1.1\n\n"), 400),
        (part("GET PointRecords?$filter=%ff HTTP/1.1\n\n"), 400),
        (part("get PointRecords HTTP/1.1\n\n"), 405),
        (part("DELETE IntegrationLogs(1) HTTP/1.1\n\n"), 405),
        (part("GET $batch HTTP/1.1\n\n"), 400),
        (part("POST $batch HTTP/1.1\n\n"), 400),
        (part("GET $7 HTTP/1.1\n\n"), 400),
        (part("GET $all HTTP/1.1\n\n"), 501),
        ("\n" + GET, 400),
        ("Content-Type: text/plain\n\n" + GET, 400),
        (change_set(part(GET)), 400),
        (change_set("x"), 400),
        (change_set(change_set(part(post(8)))), 400),
        ("Content-Type: multipart/mixed\n\nx", 400),
        ("Content-Type: multipart/mixed; boundary=c\n\n--c\n\n" + part(post(8)), 400),
    ],
)
def test_a_broken_part_is_answered_by_itself(service: Service, broken: str, status: int) -> None:
    body = multipart(broken, part(GET))
    answer = send(service, body, Prefer="continue-on-error")
    assert statuses(answer) == [status, 200]
    assert '{"error": {"code": "' in answer.body.decode()
    service.replicate()
    assert service.statuses() == {}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", MULTIPART, 400),
        (b"--b\r\n", MULTIPART, 400),
        (multipart(part(GET))[:-6], MULTIPART, 400),
        (multipart(part(GET)), "multipart/mixed", 400),
        (multipart(part(GET)), "multipart/mixed; boundary=other", 400),
        (multipart(part(GET)), "multipart/mixed; boundary=" + "b" * 71, 400),
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
def test_what_is_no_batch_is_refused_as_a_whole(
    service: Service, body: bytes, content_type: str, status: int
) -> None:
    answer = send(service, body, content_type)
    assert answer.status_code == status
    error_of(answer)


def test_the_answers_of_a_batch_are_bounded_together(
    service: Service, variables: dict[str, str]
) -> None:
    service.accept(range(1, 10))
    service.replicate()
    parts = [{"id": str(n), "method": "get", "url": "PointRecords"} for n in range(9)]
    with wired(variables | {"ODATA_ANSWER_BYTES": "10000"}):
        answers = asked(service, *parts)
    found = [len(each["body"].get("value", [])) for each in answers]
    # The last page ends early; for those behind it there is no room for a single record.
    assert found[:2] == [9, 9]
    assert 0 < found[2] < 9
    assert "@odata.nextLink" in answers[2]["body"]
    assert found[3:] == [0] * 6
    assert {each["status"] for each in answers[3:]} == {400}
    assert "no room left" in answers[-1]["body"]["error"]["message"]


def test_a_batch_without_room_begins_nothing_more(
    service: Service, variables: dict[str, str]
) -> None:
    parts = [
        {"id": "1", "method": "get", "url": "$metadata"},
        {"id": "2", "method": "post", "url": "PointRecords", "body": punch(2)},
    ]
    with wired(variables | {"ODATA_ANSWER_BYTES": "1024"}):
        answers = asked(service, *parts)
    assert [each["status"] for each in answers] == [200, 400]
    assert "ODATA_ANSWER_BYTES" in answers[1]["body"]["error"]["message"]
    service.replicate()
    assert service.rows("SELECT count(*) FROM point_record") == [(0,)]


def test_a_batch_may_be_empty(service: Service) -> None:
    assert statuses(send(service, b"--b--")) == []
    assert asked(service) == []


def test_a_batch_is_bounded(service: Service) -> None:
    one = {"method": "get", "url": "$metadata"}
    answer = send(service, {"requests": [{**one, "id": str(n)} for n in range(101)]})
    assert answer.status_code == 400
    assert "100 requests (ODATA_BATCH_REQUESTS)" in error_of(answer)["message"]
    assert len(asked(service, *({**one, "id": str(n)} for n in range(100)))) == 100


def test_a_batch_ends_in_time(variables: dict[str, str], database: Any, tmp_path: Path) -> None:
    with wired(variables | {"ODATA_BATCH_TIMEOUT_S": "0"}):
        service = Service.of(database, tmp_path)
        (response,) = asked(service, {"id": "1", "method": "get", "url": "PointRecords"})
        assert response["status"] == 503
        assert response["headers"]["retry-after"]


def test_other_methods_of_a_batch_are_not_allowed(service: Service) -> None:
    answer = service.get("/odata/$batch")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


def test_a_change_set_of_one_creates_a_record_and_can_be_referred_to(service: Service) -> None:
    answer = send(
        service,
        multipart(
            change_set(part(post(7), "1")),
            part("GET $1 HTTP/1.1\n\n", "2"),
            part("GET $1/status/$value HTTP/1.1\n\n"),
            part("GET $2?$select=employeeId HTTP/1.1\n\n"),
            part("GET $1/logs/$count HTTP/1.1\n\n"),
        ),
    )
    assert statuses(answer) == [201, 200, 200, 200, 200]
    assert "\r\nAWAITING\r\n" in answer.body.decode()
    service.replicate()
    assert service.statuses() == {"AWAITING": 1}


def test_a_change_set_creates_all_of_its_records(service: Service) -> None:
    posts = [part(post(each), str(each)) for each in (7, 8, 9)]
    answer = send(service, multipart(change_set(*posts), part("GET $8/employeeId HTTP/1.1\n\n")))
    assert statuses(answer) == [201, 201, 201, 200]
    assert re.findall(r"Content-ID: (\d)", answer.body.decode()) == ["7", "8", "9"]
    again = send(service, multipart(change_set(*posts, part(post(10)), part(post(10)))))
    assert statuses(again) == [200, 200, 200, 201, 200]
    service.replicate()
    assert service.statuses() == {"AWAITING": 4}


def test_a_change_set_of_json_creates_all_of_its_records(service: Service) -> None:
    group = {"method": "post", "url": "PointRecords", "atomicityGroup": "g"}
    minimal = {"Prefer": "return=minimal"}
    responses = asked(
        service,
        {**group, "id": "1", "body": punch(7)},
        {**group, "id": "2", "body": punch(8), "headers": minimal},
        {"id": "3", "method": "get", "url": "$2", "dependsOn": ["g"]},
    )
    assert [each["status"] for each in responses] == [201, 204, 200]
    assert [each.get("atomicityGroup") for each in responses] == ["g", "g", None]
    assert responses[2]["body"]["employeeId"] == 8


@pytest.mark.parametrize(
    ("other", "status"),
    [
        (post(8, nope=1), 400),
        (post(8, "OData-Version: 9.0"), 400),
        (post(8).replace("POST PointRecords", "POST IntegrationLogs"), 405),
        (post(8).replace("POST PointRecords", "POST http://elsewhere/odata/PointRecords"), 404),
        ("DELETE IntegrationLogs(1) HTTP/1.1\n\n", 405),
        ("DELETE Nope HTTP/1.1\n\n", 404),
        ("OPTIONS PointRecords HTTP/1.1\n\n", 501),
        ("POST PointRecords/$query HTTP/1.1\nContent-Type: text/plain\n\n", 501),
    ],
)
def test_a_change_set_of_which_one_fails_stores_nothing(
    service: Service, other: str, status: int
) -> None:
    answer = send(service, multipart(change_set(part(post(7), "1"), part(other, "2"))))
    assert statuses(answer) == [status]
    assert "boundary=changeset" not in answer.body.decode()
    assert "Content-ID: 2" in answer.body.decode()
    service.replicate()
    assert service.statuses() == {}


def test_a_group_of_which_one_fails_stores_nothing(service: Service) -> None:
    group = {"method": "post", "url": "PointRecords", "atomicityGroup": "g"}
    responses = asked(
        service,
        {**group, "id": "1", "body": punch(7)},
        {**group, "id": "2", "body": punch(8, nope=1)},
        {"id": "3", "method": "get", "url": "PointRecords", "dependsOn": ["g"]},
        {"id": "4", "method": "get", "url": "$1"},
        {"id": "5", "method": "get", "url": "PointRecords"},
    )
    assert [each["status"] for each in responses] == [424, 400, 424, 424, 200]
    service.replicate()
    assert service.statuses() == {}


def test_a_group_may_only_read_or_only_create(service: Service) -> None:
    read = {"method": "get", "url": "PointRecords", "atomicityGroup": "g"}
    both = asked(service, {**read, "id": "1"}, {**read, "id": "2"})
    assert [each["status"] for each in both] == [200, 200]
    create = {"id": "1", "method": "post", "url": "PointRecords", "atomicityGroup": "g"}
    mixed = asked(service, {**create, "body": punch(7)}, {**read, "id": "2"})
    assert [each["status"] for each in mixed] == [424, 501]


def test_more_records_than_the_table_takes_together_are_refused(
    variables: dict[str, str], database: Any, tmp_path: Path
) -> None:
    with wired(variables | {"ODATA_BATCH_REQUESTS": "200"}):
        service = Service.of(database, tmp_path)
        posts = [part(post(each)) for each in range(1, 102)]
        assert statuses(send(service, multipart(change_set(*posts)))) == [501]
        assert statuses(send(service, multipart(change_set(*posts[:100])))) == [201] * 100


def test_a_change_set_that_fails_is_answered_by_its_error(service: Service) -> None:
    answer = send(service, multipart(change_set(part(post(7, nope=1), "1")), part(GET)))
    assert statuses(answer) == [400]
    assert "boundary=changeset" not in answer.body.decode()
    assert "Content-ID: 1" in answer.body.decode()
    assert '"target": "nope"' in answer.body.decode()


def test_headers_of_a_part_are_its_own_and_versions_are_inherited(service: Service) -> None:
    minimal = part(post(7, "Prefer: return=minimal"))
    text = send(service, multipart(minimal), OData_MaxVersion="4.0").body.decode()
    assert "HTTP/1.1 204 No Content" in text
    assert "OData-EntityId: " in text
    assert "OData-Version: 4.0\r\n" in text
    assert "Content-Length" not in text
    full = "GET PointRecords HTTP/1.1\nAccept: application/json;odata.metadata=full\n\n"
    assert "odata.metadata=full" in send(service, multipart(part(full))).body.decode()


def test_a_batch_of_json(service: Service) -> None:
    (created, read, count, metadata, minimal, nope, after) = asked(
        service,
        {"id": "1", "method": "POST", "url": "PointRecords", "body": punch(7)},
        {"id": "2", "method": "get", "url": "$1?$select=employeeId", "dependsOn": ["1"]},
        {"id": "3", "method": "get", "url": "/odata/PointRecords/$count", "body": None},
        {"id": "4", "method": "get", "url": "$metadata", "headers": {"accept": "application/xml"}},
        {
            "id": "5", "method": "post", "url": "PointRecords", "body": punch(8),
            "atomicityGroup": "g", "headers": {"Prefer": "return=minimal"},
        },
        {"id": "6", "method": "get", "url": "Nope"},
        {"id": "7", "method": "get", "url": "PointRecords", "dependsOn": ["6"]},
    )  # fmt: skip
    assert (created["id"], created["status"]) == ("1", 201)
    assert created["body"]["employeeId"] == 7
    assert created["headers"]["location"].endswith(f"/odata/PointRecords({created['body']['id']})")
    assert (read["status"], read["body"]["employeeId"]) == (200, 7)
    assert (count["body"], count["headers"]["content-type"]) == ("0", "text/plain")
    assert metadata["status"] == 200
    assert isinstance(metadata["body"], str)
    assert (minimal["status"], minimal["atomicityGroup"], "body" in minimal) == (204, "g", False)
    assert (nope["status"], nope["body"]["error"]["code"]) == (404, "NotFound")
    assert (after["status"], after["body"]["error"]["code"]) == (424, "FailedDependency")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"url": "PointRecords"}, 400),
        ({"method": "get"}, 400),
        ({"method": 1, "url": "PointRecords"}, 400),
        ({"method": "get", "url": "PointRecords", "headers": []}, 400),
        ({"method": "get", "url": "PointRecords", "headers": {"accept": 1}}, 400),
        ({"method": "get", "url": "PointRecords", "body": {}}, 400),
        ({"method": "get", "url": "PointRecords", "dependsOn": "1"}, 400),
        ({"method": "get", "url": "PointRecords", "dependsOn": ["later"]}, 400),
        ({"method": "get", "url": "PointRecords", "if": "$1/$succeeded"}, 424),
        ({"method": "get", "url": "$nobody"}, 400),
        ({"method": "post", "url": "PointRecords", "body": "!",
          "headers": {"content-type": "application/x"}}, 400),
        ({"method": "post", "url": "PointRecords", "body": {},
          "headers": {"content-type": "text/plain"}}, 400),
        ({"method": "post", "url": "PointRecords", "body": "x",
          "headers": {"content-type": "text/plain"}}, 415),
        ({"method": "post", "url": "PointRecords/$query", "body": "$top=1",
          "headers": {"content-type": "text/plain"}}, 200),
        ({"method": "patch", "url": f"PointRecords({NOBODY})", "body": {}}, 405),
    ],
)  # fmt: skip
def test_a_broken_request_of_json_is_answered_by_itself(
    service: Service, request_: dict[str, Any], status: int
) -> None:
    first, second = asked(
        service, {"id": "x", **request_}, {"id": "y", "method": "get", "url": "PointRecords"}
    )
    assert (first["status"], second["status"]) == (status, 200)
    only = asked(
        service,
        {"id": "x", **request_},
        {"id": "y", "method": "get", "url": "PointRecords"},
        Prefer="continue-on-error=false",
    )
    assert len(only) == (2 if status == 200 else 1)


def test_the_answer_is_of_the_format_that_the_client_reads(service: Service) -> None:
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
    ("query", "status", "kind"),
    [
        ("$format=json", 200, "application/json"),
        ("format=application/json", 200, "application/json"),
        ("$format=multipart/mixed", 200, "multipart/mixed"),
        ("$format=xml", 406, "application/json"),
        ("$top=1", 400, "application/json"),
    ],
)
def test_a_batch_has_the_option_format_alone(
    service: Service, query: str, status: int, kind: str
) -> None:
    answer = service.http.post(
        f"/odata/$batch?{query}",
        headers={"Content-Type": MULTIPART, "Accept": "multipart/mixed"},
        body=multipart(part(GET)),
    )
    assert answer.status_code == status
    assert answer.headers["Content-Type"].partition(";")[0] == kind
