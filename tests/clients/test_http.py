"""HTTP connections: responses without a body keep them alive, and long paths have a route."""

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import Stack
from tests.support.tokens import OPERATOR


class Connection(HTTPConnection):
    """A connection that sends the token of an operator with each request."""

    def request(  # type: ignore[override]
        self, method: str, url: str, headers: Mapping[str, str] = OPERATOR
    ) -> None:
        super().request(method, url, headers={**OPERATOR, **headers})


@pytest.fixture
def connection(stack: Stack) -> Iterator[HTTPConnection]:
    """A persistent connection."""
    connection = Connection(urlsplit(stack.url).netloc, timeout=20)
    yield connection
    connection.close()


def test_responses_without_a_body_have_no_content_length_and_keep_the_connection(
    connection: HTTPConnection, stack: Stack
) -> None:
    path = f"/odata/PointRecords({stack.ids[3]})"
    connection.request("GET", path)
    response = connection.getresponse()
    body, tag = response.read(), response.headers["ETag"]
    assert response.headers["Content-Length"] == str(len(body))
    socket = connection.sock
    for method, headers, status in [
        ("HEAD", {}, 200),
        ("GET", {"If-None-Match": tag}, 304),
        ("HEAD", {"If-None-Match": tag}, 304),
        ("OPTIONS", {}, 204),
        ("HEAD", {"If-Match": '"x"'}, 412),
    ]:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        assert (response.status, response.read()) == (status, b"")
        assert "Content-Length" not in response.headers
        assert response.headers["OData-Version"] == "4.01"
    connection.request("DELETE", path)
    response = connection.getresponse()
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    response.read()
    connection.request("GET", path)
    assert connection.getresponse().read() == body
    assert connection.sock is socket


def test_paths_of_up_to_five_segments_have_a_route(
    connection: HTTPConnection, stack: Stack
) -> None:
    for path in ("logs/$count", "status/$value", "logs/$ref"):
        connection.request("GET", f"/odata/PointRecords({stack.ids[3]})/{path}")
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True), path
    log = f"IntegrationLogs(pointId={stack.ids[3]},number=1)"
    connection.request("GET", f"/odata/{log}/point/logs(1)/point/status")
    response = connection.getresponse()
    assert (response.status, b"AWAITING" in response.read()) == (200, True)
