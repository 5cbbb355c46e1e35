"""A batch as a whole: what is none, how much it may ask for, and how it is answered."""

from pathlib import Path
from typing import Any

import pytest

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


def test_neither_a_batch_nor_a_part_of_it_may_be_compressed(service: Service) -> None:
    whole = send(service, multipart(part(GET)), Content_Encoding="gzip")
    assert whole.status_code == 415
    assert error_of(whole)["target"] == "Content-Encoding"
    compressed = part(post(1, "Content-Encoding: gzip"))
    for each in (compressed, change_set(compressed, part(post(2)))):
        answer = send(service, multipart(each))
        assert statuses(answer) == [415]
        assert b"Accept-Encoding: identity" in answer.body


def test_the_answers_of_a_batch_are_bounded_together(
    service: Service, variables: dict[str, str]
) -> None:
    service.accept(range(1, 10))
    service.replicate()
    parts = [{"id": str(n), "method": "get", "url": "PointRecords"} for n in range(9)]
    with wired(variables | {"ODATA_ANSWER_BYTES": "10000"}):
        answers = send_json(service, *parts)
    found = [len(each["body"].get("value", [])) for each in answers]
    # The last page ends early; for those behind it there is no room for a single record.
    assert found[:2] == [9, 9]
    assert 0 < found[2] < 9
    assert "@odata.nextLink" in answers[2]["body"]
    assert found[3:] == [0] * 6
    assert {each["status"] for each in answers[3:]} == {400}
    assert "batch response too large" in answers[-1]["body"]["error"]["message"]


def test_a_batch_without_room_begins_nothing_more(
    service: Service, variables: dict[str, str]
) -> None:
    parts = [
        {"id": "1", "method": "get", "url": "$metadata"},
        {"id": "2", "method": "post", "url": "PointRecords", "body": punch(2)},
    ]
    with wired(variables | {"ODATA_ANSWER_BYTES": "1024"}):
        answers = send_json(service, *parts)
    assert [each["status"] for each in answers] == [200, 400]
    assert "ODATA_ANSWER_BYTES" in answers[1]["body"]["error"]["message"]
    service.replicate()
    assert service.rows("SELECT count(*) FROM point_record") == [(0,)]


def test_a_batch_may_be_empty(service: Service) -> None:
    assert statuses(send(service, b"--b--")) == []
    assert send_json(service) == []


def test_a_batch_is_bounded(service: Service) -> None:
    one = {"method": "get", "url": "$metadata"}
    answer = send(service, {"requests": [{**one, "id": str(n)} for n in range(101)]})
    assert answer.status_code == 400
    assert "100 requests (ODATA_BATCH_REQUESTS)" in error_of(answer)["message"]
    assert len(send_json(service, *({**one, "id": str(n)} for n in range(100)))) == 100


def test_a_batch_ends_in_time(variables: dict[str, str], database: Any, tmp_path: Path) -> None:
    with wired(variables | {"ODATA_BATCH_TIMEOUT_S": "0"}):
        service = Service.of(database, tmp_path)
        (response,) = send_json(service, {"id": "1", "method": "get", "url": "PointRecords"})
        assert response["status"] == 503
        assert response["headers"]["retry-after"]


def test_other_methods_of_a_batch_are_not_allowed(service: Service) -> None:
    answer = service.get("/odata/$batch")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


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
