"""What goes over the wire: answers without a body leave the connection as they found it."""

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import Stack
from tests.support.tokens import OPERATOR


class Connection(HTTPConnection):
    """A connection of the operator's."""

    def request(  # type: ignore[override]
        self, method: str, url: str, headers: Mapping[str, str] = OPERATOR
    ) -> None:
        super().request(method, url, headers={**OPERATOR, **headers})


@pytest.fixture
def connection(stack: Stack) -> Iterator[HTTPConnection]:
    """One connection, kept alive."""
    connection = Connection(urlsplit(stack.url).netloc, timeout=20)
    yield connection
    connection.close()


def test_answers_without_a_body_say_no_length_and_keep_the_connection(
    connection: HTTPConnection, stack: Stack
) -> None:
    path = f"/odata/PointRecords({stack.ids[3]})"
    connection.request("GET", path)
    answer = connection.getresponse()
    body, tag = answer.read(), answer.headers["ETag"]
    assert answer.headers["Content-Length"] == str(len(body))
    socket = connection.sock
    for method, headers, status in [
        ("HEAD", {}, 200),
        ("GET", {"If-None-Match": tag}, 304),
        ("HEAD", {"If-None-Match": tag}, 304),
        ("OPTIONS", {}, 204),
        ("HEAD", {"If-Match": '"x"'}, 412),
    ]:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        assert "Content-Length" not in answer.headers
        assert answer.headers["OData-Version"] == "4.01"
    connection.request("DELETE", path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    answer.read()
    connection.request("GET", path)
    assert connection.getresponse().read() == body
    assert connection.sock is socket


def test_a_path_of_five_segments_has_a_route(connection: HTTPConnection, stack: Stack) -> None:
    for path in ("logs/$count", "status/$value", "logs/$ref"):
        connection.request("GET", f"/odata/PointRecords({stack.ids[3]})/{path}")
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True), path
    connection.request("GET", "/odata/IntegrationLogs(1)/point/logs(1)/point/status")
    answer = connection.getresponse()
    assert (answer.status, b"AWAITING" in answer.read()) == (200, True)
