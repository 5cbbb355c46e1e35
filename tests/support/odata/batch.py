"""Build batches as clients write them, and read their responses."""

import json
import re
from typing import Any

from chalice.test import HTTPResponse

from tests.support.service import Service, punch

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
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
    """POST a batch: bytes unchanged, anything else as JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if not isinstance(body, bytes):
        body, content_type = json.dumps(body).encode(), "application/json"
    return service.http.post(
        "/odata/$batch", headers={"Content-Type": content_type, **named}, body=body
    )


def statuses(response: HTTPResponse) -> list[int]:
    """Return the status of each part of a multipart response."""
    assert response.status_code == 200, response.body
    assert response.headers["Content-Type"].startswith("multipart/mixed;boundary=batchresponse_")
    assert b"\n" not in response.body.replace(b"\r\n", b"")
    return [
        int(each) for each in re.findall(r"^HTTP/1.1 (\d+) ", response.body.decode(), re.MULTILINE)
    ]


def send_json(service: Service, *requests: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    """Send a JSON batch, and return its responses."""
    response = send(service, {"requests": list(requests)}, **headers)
    assert response.status_code == 200, response.body
    assert response.headers["Content-Type"] == "application/json"
    assert set(response.json_body) == {"responses"}
    return response.json_body["responses"]
