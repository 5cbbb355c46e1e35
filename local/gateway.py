"""Turn requests into events as API Gateway does, where Chalice's local gateway differs.

docs/architecture.md lists what API Gateway changes in a request, and which of it happens here.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""

import json
import re
from typing import Any
from urllib.parse import unquote, unquote_plus

from chalice import local

from chalicelib.web.headers import GATEWAY_ERROR_HEADERS

MAX_BODY_BYTES = 10 * 1024 * 1024
# The request line and all headers.
MAX_HEAD_BYTES = 10_240
TIMEOUT_S = 29
# A Lambda function's response: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_RESPONSE_BYTES = 6 * 1024 * 1024
# The longest text that cannot exceed it, with six bytes for each character in JSON.
_SHORT = MAX_RESPONSE_BYTES // 6 - 65_536
_SEPARATORS = re.compile(r"[&;]")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_REJECTED = re.compile(r"[|{}]")


class ApiGateway(local.LocalGateway):  # type: ignore[misc]
    """Chalice's local gateway, with API Gateway's events and its limit of a response."""

    def handle_request(self, method: str, path: str, headers: Any, body: bytes | None) -> Any:
        """Return the app's response; 503 if it is larger than Lambda allows."""
        response = super().handle_request(method, path, headers, body)
        text = response["body"]
        if text and len(text) > _SHORT and len(json.dumps(response)) > MAX_RESPONSE_BYTES:
            # The template's response to a failed integration.
            return error_response(503, "Unavailable", "The service cannot serve this now.")
        return response

    def _generate_lambda_event(
        self, method: str, path: str, headers: Any, body: bytes | None
    ) -> Any:
        event = super()._generate_lambda_event(method, split_query(path), headers, body)
        captured = event["pathParameters"]
        event["pathParameters"] = {name: unquote(value) for name, value in captured.items()}
        return event


def split_query(target: str) -> str:
    """Split the query string of a request target at ``;`` too, and sort the options by name.

    API Gateway keeps the order of the values of one name, but not that of the names.
    """
    path, mark, query = target.partition("?")
    options = sorted(
        _SEPARATORS.split(query), key=lambda each: unquote_plus(each.partition("=")[0])
    )
    return f"{path}{mark}{'&'.join(options)}"


def encode_target(request_line: bytes) -> bytes:
    """Percent-encode the raw bytes beyond ASCII in a request line, which then means the same.

    As text in Latin-1 it would mean something else, and some of the bytes would be spaces.
    """
    return _BEYOND_ASCII.sub(lambda match: b"%%%02X" % ord(match[0]), request_line)


def decode_header(value: str) -> str:
    """Return a header value, which was read as Latin-1, as UTF-8.

    Bytes that are not UTF-8 become replacement characters.
    """
    return value if value.isascii() else value.encode("latin-1").decode("utf-8", "replace")


def has_rejected_characters(target: str) -> bool:
    """Return whether a query string has characters that must be percent-encoded."""
    return _REJECTED.search(target.partition("?")[2]) is not None


def error_response(status: int, code: str, message: str) -> dict[str, Any]:
    """Return a response of API Gateway itself, as the template defines it."""
    return {
        "statusCode": status,
        "headers": {**GATEWAY_ERROR_HEADERS, "Content-Type": "application/json"},
        "multiValueHeaders": {},
        "body": json.dumps({"error": {"code": code, "message": message}}),
    }
