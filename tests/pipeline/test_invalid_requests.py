"""Invalid requests of every role are rejected before a store is called."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.principal import Role
from tests.support.service import Http, error_of, punch
from tests.support.tokens import OPERATOR, authorization

TOKENS = {
    "employee": authorization(Role.EMPLOYEE, 121, 7),
    "employer": authorization(Role.EMPLOYER, 121),
    "integration": OPERATOR,
}
RECORD = "PointRecords(00000000-0000-0000-0000-000000000000)"
INVALID: list[tuple[str, str, Any]] = [
    ("GET", "/point-record/x", None),
    ("POST", "/point-record", {**punch(7), "employeeId": 0}),
    ("POST", "/point-record", []),
    ("POST", "/odata/PointRecords", {}),
    *(
        ("GET", f"/odata/{path}", None)
        for path in (
            "Nothing",
            "PointRecords(x)",
            f"{RECORD}/nothing",
            f"{RECORD}/status/nothing",
            f"{RECORD}/status(1)",
            "IntegrationRuns(x)",
            "PointRecords?$filter=x%20eq%201",
            "PointRecords?$top=-1",
            "PointRecords?$skiptoken=abc",
            "PointRecords?$apply=x",
            "PointRecords?$search=(",
            "PointRecords?$expand=x",
            "PointRecords?$orderby=x",
            "PointRecords?$select=x",
            "PointRecords?$x=1",
        )
    ),
    ("PATCH", "/odata/PointRecords", {}),
    ("DELETE", f"/odata/{RECORD}", None),
    ("POST", "/odata/$batch", {}),
]


@pytest.mark.parametrize("role", TOKENS)
@pytest.mark.parametrize(("method", "path", "body"), INVALID, ids=str)
def test_invalid_request_reaches_no_store(
    unreachable: list[Any], tmp_path: Path, role: str, method: str, path: str, body: Any
) -> None:
    text = b"" if body is None else json.dumps(body).encode()
    headers = TOKENS[role] | {"Content-Type": "application/json"}
    response = Http(tmp_path).request(method, path, headers, text)
    assert 400 <= response.status_code < 500, response.body
    error_of(response)
    assert unreachable == []


@pytest.mark.parametrize("role", TOKENS)
def test_invalid_request_of_a_batch_reaches_no_store(
    unreachable: list[Any], tmp_path: Path, role: str
) -> None:
    requests = [
        {"id": str(number), "method": method, "url": path.removeprefix("/odata/"), "body": body}
        for number, (method, path, body) in enumerate(INVALID)
        if path.startswith("/odata/") and not path.endswith("$batch")
    ]
    headers = TOKENS[role] | {"Content-Type": "application/json"}
    sent = json.dumps({"requests": requests}).encode()
    response = Http(tmp_path).request("POST", "/odata/$batch", headers, sent)
    responses = response.json_body["responses"]
    assert len(responses) == len(requests)
    assert all(400 <= each["status"] < 500 for each in responses), responses
    assert unreachable == []
