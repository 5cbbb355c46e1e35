"""Whatever is sent to OData's routes, the answer is one of ours: 2xx, 304, 4xx or 501, never 500.

About a minute of it; ``ODATA_EXAMPLES`` says how much more, and ``make soak`` looks for longer.
"""

import json
import re
from typing import Any

import pytest
from chalice.test import HTTPResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.odata.test_hostile import EXAMPLES, thorough
from tests.support import fuzzing
from tests.support.service import Service, error_of

bounded = settings(thorough, max_examples=max(2_000, EXAMPLES))


@pytest.fixture
def filled(service: Service) -> Service:
    """The service, with some records and their logs."""
    assert service.post(fuzzing.some_records()).status_code == 207
    service.replicate()
    return service


def ask(
    service: Service, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> HTTPResponse:
    """Send a request; its answer must be as every answer is."""
    answer = service.http.request(method, f"/odata/{path}", headers=headers, body=body)
    asked = (method, path, headers, body)
    if answer.status_code == 403 and b"Missing Authentication Token" in answer.body:
        return answer  # the gateway's, where there is no route: more segments than any resource has
    require_ours(answer.status_code, asked)
    assert answer.headers["OData-Version"] in ("4.0", "4.01"), asked
    if answer.status_code == 405:
        assert method not in answer.headers["Allow"], asked
    if method == "HEAD" or answer.status_code in (204, 304):
        assert answer.body == b"", asked
    elif answer.status_code >= 400:
        error_of(answer)
    elif answer.headers["Content-Type"].startswith("application/json"):
        assert isinstance(answer.json_body, dict)
    return answer


def require_ours(status: int, asked: Any) -> None:
    assert status < 500 or status == 501, (status, asked)


@bounded
@given(path=fuzzing.paths, query=fuzzing.queries, headers=fuzzing.headers)
def test_random_requests(filled: Service, path: str, query: str, headers: dict[str, str]) -> None:
    ask(filled, "GET", f"{path}?{query}", headers)
    ask(filled, "GET", f"PointRecords?{query}", headers)


@bounded
@given(
    method=st.sampled_from(fuzzing.METHODS),
    path=fuzzing.paths,
    query=st.just("") | fuzzing.queries,
    headers=fuzzing.headers,
    body=fuzzing.bodies,
)
def test_random_methods_and_bodies(
    filled: Service, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    ask(filled, method, f"{path}?{query}", headers, body)
    ask(filled, "POST", f"PointRecords?{query}", {"Content-Type": "application/json"}, body)


@bounded
@given(body=fuzzing.multiparts, headers=fuzzing.headers)
def test_random_multipart_batches(filled: Service, body: bytes, headers: dict[str, str]) -> None:
    kind = {"Content-Type": "multipart/mixed; boundary=b", "Prefer": "continue-on-error"}
    answer = ask(filled, "POST", "$batch", kind | {"Accept": "multipart/mixed"}, body)
    if answer.status_code == 200:
        text = answer.body.decode()
        for status in re.findall(r"\r\n\r\nHTTP/1\.1 (\d+) ", text):
            require_ours(int(status), body)
    ask(filled, "POST", "$batch", kind | headers, body)


@bounded
@given(body=fuzzing.json_batches, headers=fuzzing.headers)
def test_random_batches_of_json(filled: Service, body: bytes, headers: dict[str, str]) -> None:
    answer = ask(filled, "POST", "$batch", {"Content-Type": "application/json"}, body)
    if answer.status_code == 200:
        for response in json.loads(answer.body)["responses"]:
            require_ours(response["status"], body)
    ask(filled, "POST", "$batch", {"Content-Type": "application/json"} | headers, body)
