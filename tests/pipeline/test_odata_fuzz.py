"""Random requests to the OData routes get a well-formed 2xx, 304, 4xx or 501 response, never a 500.

``ODATA_EXAMPLES`` sets the number of examples, and ``make soak`` runs longer.
"""

import json
import re
from typing import Any

import pytest
from chalice.test import HTTPResponse
from hypothesis import given
from hypothesis import strategies as st

from tests.support import fuzzing
from tests.support.odata.examples import thorough
from tests.support.service import Service, error_of


@pytest.fixture
def filled(service: Service) -> Service:
    """The service with some records and their logs."""
    assert service.post(fuzzing.punches()).status_code == 207
    service.replicate()
    return service


def request(
    service: Service, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> HTTPResponse:
    """Send a request, check what every response must have, and return the response."""
    response = service.http.request(method, f"/odata/{path}", headers=headers, body=body)
    sent = (method, path, headers, body)
    if response.status_code == 403 and b"Missing Authentication Token" in response.body:
        return response  # from the gateway: no route has so many segments
    require_expected_status(response.status_code, sent)
    assert response.headers["OData-Version"] in ("4.0", "4.01"), sent
    if response.status_code == 405:
        assert method not in response.headers["Allow"], sent
    if method == "HEAD" or response.status_code in (204, 304):
        assert response.body == b"", sent
    elif response.status_code >= 400:
        error_of(response)
    elif response.headers["Content-Type"].startswith("application/json"):
        assert isinstance(response.json_body, dict)
    return response


def require_expected_status(status: int, sent: Any) -> None:
    assert status < 500 or status == 501, (status, sent)


@thorough
@given(path=fuzzing.paths, query=fuzzing.queries, headers=fuzzing.headers)
def test_random_get_requests_are_answered(
    filled: Service, path: str, query: str, headers: dict[str, str]
) -> None:
    request(filled, "GET", f"{path}?{query}", headers)
    request(filled, "GET", f"PointRecords?{query}", headers)


@thorough
@given(
    method=st.sampled_from(fuzzing.METHODS),
    path=fuzzing.paths,
    query=st.just("") | fuzzing.queries,
    headers=fuzzing.headers,
    body=fuzzing.bodies,
)
def test_random_methods_and_bodies_are_answered(
    filled: Service, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    request(filled, method, f"{path}?{query}", headers, body)
    request(filled, "POST", f"PointRecords?{query}", {"Content-Type": "application/json"}, body)


@thorough
@given(body=fuzzing.multiparts, headers=fuzzing.headers)
def test_random_multipart_batches_are_answered(
    filled: Service, body: bytes, headers: dict[str, str]
) -> None:
    multipart = {"Content-Type": "multipart/mixed; boundary=b", "Prefer": "continue-on-error"}
    response = request(filled, "POST", "$batch", multipart | {"Accept": "multipart/mixed"}, body)
    if response.status_code == 200:
        text = response.body.decode()
        for status in re.findall(r"\r\n\r\nHTTP/1\.1 (\d+) ", text):
            require_expected_status(int(status), body)
    request(filled, "POST", "$batch", multipart | headers, body)


@thorough
@given(body=fuzzing.json_batches, headers=fuzzing.headers)
def test_random_json_batches_are_answered(
    filled: Service, body: bytes, headers: dict[str, str]
) -> None:
    response = request(filled, "POST", "$batch", {"Content-Type": "application/json"}, body)
    if response.status_code == 200:
        for each in json.loads(response.body)["responses"]:
            require_expected_status(each["status"], body)
    request(filled, "POST", "$batch", {"Content-Type": "application/json"} | headers, body)
