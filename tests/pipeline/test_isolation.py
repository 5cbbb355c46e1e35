"""A principal is answered the same, to the byte, whether or not there are records of others.

So there is no row, no count and no hint of them: what is another's and what is nowhere are one.
"""

import json
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.point_record import punch_id
from chalicelib.principal import Role
from tests.support.service import Service, punch
from tests.support.tokens import authorization

INCLUDED_AT = "2026-11-22T11:00:00.000000Z"
MINE, COLLEAGUE, STRANGER = (121, 7), (121, 8), (122, 7)
# Whose the token is, and the records that are not its own.
PRINCIPALS = {
    "employee": (authorization(Role.EMPLOYEE, *MINE), (COLLEAGUE, STRANGER)),
    "employer": (authorization(Role.EMPLOYER, MINE[0]), (STRANGER,)),
}
WAITING = "2026-11-22T09:00:00-03:00"


def record_id(owner: tuple[int, int], included_at: str = INCLUDED_AT) -> str:
    return str(punch_id(*owner, included_at))


def body(owner: tuple[int, int], **changes: Any) -> dict[str, Any]:
    return punch(owner[1], employerId=owner[0], deviceId="phone", **changes)


def batch(*urls: str) -> bytes:
    parts = [{"id": str(n), "method": "GET", "url": url} for n, url in enumerate(urls)]
    return json.dumps({"requests": parts}).encode()


def ways(foreign: str, waiting: str) -> list[tuple[str, str, bytes]]:
    """Requests that would show what is another's, by every way in: method, path and body."""
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
        "/odata/IntegrationLogs(1)/point/logs",
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
        # Of a record of employer 122, each of these would fail.
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
        "/odata/IntegrationLogs?$orderby=id&$expand=point($expand=logs)&$count=true",
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


def answers(
    service: Service, token: dict[str, str], foreign: str, waiting: str
) -> dict[str, tuple[int, str, bytes]]:
    found = {}
    for method, path, sent in ways(foreign, waiting):
        kind = "text/plain" if path.endswith("$query") else "application/json"
        answer = service.http.request(
            method, quote(path, "/?$=&(),:'@"), {**token, "Content-Type": kind}, sent
        )
        tag = answer.headers.get("ETag", "")
        found[f"{method} {path}"] = (answer.status_code, tag, bytes(answer.body))
    return found


@pytest.mark.parametrize("role", PRINCIPALS)
def test_what_is_anothers_is_as_if_it_were_not(service: Service, role: str) -> None:
    token, others = PRINCIPALS[role]
    own = [each for each in (MINE, COLLEAGUE, STRANGER) if each not in others]
    service.post([body(each) for each in own])
    service.replicate()
    service.integrate()
    foreign = record_id(others[-1])
    waiting = record_id(others[-1], "2026-11-22T12:00:00.000000Z")
    before = answers(service, token, foreign, waiting)

    service.post([body(each) for each in others])
    service.replicate()
    service.integrate()
    service.post([body(each, includedAt=WAITING) for each in others])
    assert service.get(f"/point-record/{foreign}").json_body["status"] == "INTEGRATED"
    assert service.get(f"/point-record/{waiting}").json_body["status"] == "AWAITING"

    after = answers(service, token, foreign, waiting)
    assert after == before
    assert {status for status, _, _ in after.values()} == {200, 404}
    seen = b"".join(text for _, _, text in after.values())
    assert str(record_id(MINE)).encode() in seen  # its own, it does see


@pytest.mark.parametrize("role", PRINCIPALS)
def test_no_way_leads_to_posting_for_another(service: Service, role: str) -> None:
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


def test_the_token_of_anothers_page_is_none(service: Service) -> None:
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
    refused = service.http.get(path, headers=mine)
    garbage = service.http.get(f"{path[: path.index('token=')]}token=AAAA", headers=mine)
    assert (refused.status_code, refused.body) == (400, garbage.body)
