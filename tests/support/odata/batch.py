"""Batches as clients write them, and what of their answers the tests look at."""

import json
import re
from typing import Any

from chalice.test import HTTPResponse

from tests.support.service import Service, punch

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
