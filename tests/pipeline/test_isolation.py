"""Isolation: responses to a principal do not depend on records that it does not own.

They are equal to the byte, with and without such records. So neither a row nor a count nor an error
reveals them: a record of another principal looks like a record that does not exist.
"""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.principal import Role
from chalicelib.record_id import punch_id
from tests.support.service import Service, punch
from tests.support.tokens import authorization

INCLUDED_AT = "2026-11-22T11:00:00.000000Z"
MINE, COLLEAGUE, STRANGER = (121, 7), (121, 8), (122, 7)
# For each role, its token and the owners whose records it may not see.
PRINCIPALS = {
    "employee": (authorization(Role.EMPLOYEE, *MINE), (COLLEAGUE, STRANGER)),
    "employer": (authorization(Role.EMPLOYER, MINE[0]), (STRANGER,)),
}
WAITING = "2026-11-22T09:00:00-03:00"


def record_id(owner: tuple[int, int], included_at: str = INCLUDED_AT) -> str:
    return str(punch_id(*owner, datetime.fromisoformat(included_at)))


def body(owner: tuple[int, int], **changes: Any) -> dict[str, Any]:
    return punch(owner[1], employerId=owner[0], deviceId="phone", **changes)


def batch(*urls: str) -> bytes:
    parts = [{"id": str(n), "method": "GET", "url": url} for n, url in enumerate(urls)]
    return json.dumps({"requests": parts}).encode()


def requests_for(foreign: str, waiting: str) -> list[tuple[str, str, bytes]]:
    """Return requests that could reveal foreign records, as method, path and body."""
    paths = [
        f"/point-record/{foreign}",
        f"/point-record/{waiting}",
        *(
            f"/odata/PointRecords({key}){rest}"
            for key in (foreign, waiting)
            for rest in ("", "/status", "/status/$value", "/logs", "/logs/$count", "?$expand=logs")
        ),
        f"/odata/$entity?$id=PointRecords({foreign})",
        "/odata/IntegrationRuns",
        "/odata/IntegrationRuns/$count",
        "/odata/IntegrationRuns(1)",
        f"/odata/IntegrationLogs(pointId={foreign},number=1)/point/logs",
        f"/odata/PointRecords({foreign})/logs(1)",
        "/health",
    ]
    options = [
        "$count=true&$orderby=id",
        "$count=true&$filter=employerId eq 122 or true&$expand=logs($expand=point)",
        f"$filter=id eq {foreign} or id eq {waiting}",
        "$filter=employerId ne 121",
        f"$filter=logs/any(l:l/point/id eq {foreign})",
        "$filter=logs/all(l:l/point/employerId eq 122)",
        "$orderby=logs/$count desc,employeeId desc",
        "$compute=employerId sub 121 as other&$filter=other ne 0",
        "$search=phone",
        "$search=NOT nowhere",
        "$apply=aggregate($count as n,employerId with max as most)",
        "$apply=groupby((employerId,employeeId),aggregate($count as n))",
        "$apply=filter(employerId eq 122 or true)/aggregate(id with countdistinct as n)",
        "$top=1&$count=true",
        "$skip=1&$orderby=id",
        # On a record of employer 122, each of these would divide by zero.
        "$filter=1 div (employerId sub 122) ne 5",
        "$filter=logs/any(l:1 div (l/point/employerId sub 122) ne 5)",
        "$orderby=1 div (employerId sub 122)",
        "$compute=1 div (employerId sub 122) as one&$filter=one ne 5",
        "$apply=filter(1 div (employerId sub 122) ne 5)/aggregate($count as n)",
        "$expand=logs($filter=1 div (point/employerId sub 122) ne 5)",
        "$search=phone&$filter=1 div (employerId sub 122) ne 5",
    ]
    paths += [f"/odata/PointRecords?{each}" for each in options]
    paths += [
        "/odata/PointRecords/$count",
        "/odata/PointRecords/$count?$filter=employerId eq 122 or true",
        "/odata/PointRecords/$count?$search=NOT nowhere",
        "/odata/IntegrationLogs?$orderby=pointId desc&$expand=point($expand=logs)&$count=true",
        "/odata/IntegrationLogs?$filter=point/employerId eq 122 or not (point/employerId eq 122)",
        "/odata/IntegrationLogs?$filter=pointId eq " + foreign,
        "/odata/IntegrationLogs?$filter=point eq null",
        "/odata/IntegrationLogs?$apply=groupby((point/employerId),aggregate($count as n))",
        "/odata/IntegrationLogs?$search=NOT nowhere",
        "/odata/IntegrationLogs?$filter=1 div (point/employerId sub 122) ne 5",
        "/odata/IntegrationLogs?$orderby=1 div (point/employerId sub 122)",
        "/odata/IntegrationLogs/$count",
    ]
    gets = [(method, path, b"") for path in paths for method in ("GET", "HEAD")]
    parts = batch(f"PointRecords({foreign})", "PointRecords/$count", "IntegrationLogs?$count=true")
    query = b"$filter=employerId eq 122 or true&$count=true"
    return [
        *(each for each in gets if each[0] == "GET" or each[1].startswith("/odata")),
        ("POST", "/odata/$batch", parts),
        ("POST", "/odata/PointRecords/$query", query),
    ]


def responses_to(
    service: Service, token: dict[str, str], foreign: str, waiting: str
) -> dict[str, tuple[int, str, bytes]]:
    responses = {}
    for method, path, sent in requests_for(foreign, waiting):
        kind = "text/plain" if path.endswith("$query") else "application/json"
        response = service.http.request(
            method, quote(path, "/?$=&(),:'@"), {**token, "Content-Type": kind}, sent
        )
        tag = response.headers.get("ETag", "")
        responses[f"{method} {path}"] = (response.status_code, tag, bytes(response.body))
    return responses


@pytest.mark.parametrize("role", PRINCIPALS)
def test_foreign_records_do_not_change_responses(service: Service, role: str) -> None:
    token, others = PRINCIPALS[role]
    own = [each for each in (MINE, COLLEAGUE, STRANGER) if each not in others]
    service.post([body(each) for each in own])
    service.replicate()
    service.integrate()
    foreign = record_id(others[-1])
    waiting = record_id(others[-1], "2026-11-22T12:00:00.000000Z")
    before = responses_to(service, token, foreign, waiting)

    service.post([body(each) for each in others])
    service.replicate()
    service.integrate()
    service.post([body(each, includedAt=WAITING) for each in others])
    assert service.get(f"/point-record/{foreign}").json_body["status"] == "INTEGRATED"
    assert service.get(f"/point-record/{waiting}").json_body["status"] == "AWAITING"

    after = responses_to(service, token, foreign, waiting)
    assert after == before
    assert {status for status, _, _ in after.values()} == {200, 404}
    seen = b"".join(text for _, _, text in after.values())
    assert str(record_id(MINE)).encode() in seen  # its own record is visible


@pytest.mark.parametrize("role", PRINCIPALS)
def test_foreign_records_cannot_be_posted_on_any_route(service: Service, role: str) -> None:
    token, others = PRINCIPALS[role]
    token = token | {"Content-Type": "application/json"}
    for other in others:
        one = json.dumps(body(other)).encode()
        alone = service.http.post("/point-record", headers=token, body=one)
        odata = service.http.post("/odata/PointRecords", headers=token, body=one)
        several = service.http.post(
            "/point-record",
            headers=token,
            body=json.dumps([body(other), body(MINE), {**body(other), "employerId": "x"}]).encode(),
        )
        part = {"method": "POST", "url": "PointRecords", "body": body(other),
                "headers": {"Content-Type": "application/json"}}  # fmt: skip
        parts = [{**part, "id": "1"}, {**part, "id": "2", "body": body(MINE)}]
        together = [{**part, "id": str(n), "body": body(whose), "atomicityGroup": "g"}
                    for n, whose in enumerate((MINE, other))]  # fmt: skip
        assert (alone.status_code, odata.status_code) == (403, 403)
        assert alone.json_body == odata.json_body
        assert [each["status"] for each in several.json_body][0::2] == [403, 400]
        assert several.json_body[1]["status"] in (200, 201)
        batched = service.http.post(
            "/odata/$batch", headers=token, body=json.dumps({"requests": parts}).encode()
        ).json_body["responses"]
        assert [each["status"] for each in batched] == [403, 200]
        grouped = service.http.post(
            "/odata/$batch", headers=token, body=json.dumps({"requests": together}).encode()
        ).json_body["responses"]
        assert 403 in [each["status"] for each in grouped]
    service.replicate()
    assert service.rows("SELECT employer_id, employee_id FROM point_record") == [MINE]


def test_skip_token_of_another_principal_is_rejected_like_garbage(service: Service) -> None:
    service.post([body(STRANGER, includedAt=f"2026-11-22T0{n}:00:00Z") for n in range(3)])
    service.post([body(MINE)])
    service.replicate()
    theirs = authorization(Role.EMPLOYER, STRANGER[0])
    page = service.http.get("/odata/PointRecords?$count=true&$orderby=id", headers={
        **theirs, "Prefer": "maxpagesize=1"})  # fmt: skip
    link = page.json_body["@odata.nextLink"]
    path = link[link.index("/odata") :]
    assert service.http.get(path, headers=theirs).status_code == 200
    mine = PRINCIPALS["employer"][0]
    rejected = service.http.get(path, headers=mine)
    garbage = service.http.get(f"{path[: path.index('token=')]}token=AAAA", headers=mine)
    assert (rejected.status_code, rejected.body) == (400, garbage.body)
