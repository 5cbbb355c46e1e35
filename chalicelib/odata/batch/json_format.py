"""Batches in JSON: parse the individual requests, write the responses. JSON 4.01, section 19."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.errors import DependencyError, InvalidError
from chalicelib.odata.batch.executor import (
    IndividualRequest,
    IndividualResponse,
    is_valid_id,
    require_at_most,
)
from chalicelib.odata.media_types import JSON
from chalicelib.strict_json import load_json


def parse_requests(body: bytes, max_requests: int) -> list[IndividualRequest]:
    """Parse the individual requests of a batch.

    A malformed request with a valid id becomes an ``IndividualRequest`` with an error.

    Raises:
        InvalidError: the body is not a batch, has more than ``max_requests``, or has ids that do
            not identify its requests.
    """
    document = load_json(body)
    requests = document.get("requests") if isinstance(document, dict) else None
    if not isinstance(requests, list):
        raise InvalidError(
            "The body of a batch must be a JSON object with an array named requests.",
            target="requests",
        )
    require_at_most(max_requests, len(requests))
    ids: set[str] = set()
    # The groups in order. An empty name ends the group before it.
    groups: list[str] = []
    parsed = []
    for position, each in enumerate(requests):
        target = f"requests/{position}"
        if not isinstance(each, dict) or not is_valid_id(each.get("id")):
            raise InvalidError(
                "Each request of a batch must have an id of 1 to 100 printable characters.",
                target=target,
            )
        name, group = each["id"], each.get("atomicityGroup")
        if name in ids or name in groups:
            raise InvalidError(f"The id {name} is used more than once.", target=target)
        ids.add(name)
        if group is not None:
            if not is_valid_id(group) or group in ids or group in groups[:-1]:
                raise InvalidError(
                    "atomicityGroup must be a name that is not the id of a request. The requests of"
                    " a group must be adjacent.",
                    target=target,
                )
            if group not in groups:
                groups.append(group)
        elif groups and groups[-1]:
            groups.append("")
        parsed.append(_parse_request(each, name, group))
    return parsed


def _parse_request(request: Mapping[str, Any], name: str, group: str | None) -> IndividualRequest:
    try:
        headers = _headers(request.get("headers"))
        method = _text(request, "method").upper()
        depends_on = request.get("dependsOn", [])
        if not isinstance(depends_on, list) or not all(isinstance(n, str) for n in depends_on):
            raise InvalidError("dependsOn must be an array of ids.", target="dependsOn")
        if "if" in request:
            # The standard requires this status of a service that does not support conditions.
            raise DependencyError("The condition if is not supported. Use dependsOn.")
        body = _body(request.get("body"), method, headers)
        return IndividualRequest(
            method, _text(request, "url"), headers, body, name, group, depends_on
        )
    except (InvalidError, DependencyError) as error:
        method = str(request.get("method"))
        return IndividualRequest(method, id=name, atomicity_group=group, error=error)


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidError(f"{name} must be a non-empty string.", target=name)
    return value


def _headers(headers: object) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise InvalidError("headers must be an object with string values.", target="headers")
    return {name.lower(): value for name, value in headers.items()}


def _body(body: object, method: str, headers: dict[str, str]) -> bytes:
    """Return the bytes of a body, which its Content-Type determines."""
    if body is None:
        return b""
    if method in ("GET", "DELETE"):
        raise InvalidError(f"A {method} request must not have a body.", target="body")
    media_type = headers.setdefault("content-type", JSON).partition(";")[0].strip().lower()
    if media_type == JSON or media_type.endswith("+json"):
        return json.dumps(body).encode()
    if not isinstance(body, str):
        raise InvalidError(f"A body of type {media_type[:100]} must be a string.", target="body")
    try:
        if media_type.startswith("text/"):
            return body.encode()
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise InvalidError(
            f"A body of type {media_type[:100]} must be base64url-encoded.", target="body"
        ) from error


def write_responses(responses: Sequence[IndividualResponse]) -> str:
    """Return the body of the batch response."""
    return f'{{"responses":[{",".join(map(_response_object, responses))}]}}'


def _response_object(each: IndividualResponse) -> str:
    request, response = each.request, each.response
    members: dict[str, Any] = {} if request.id is None else {"id": request.id}
    if request.atomicity_group is not None:
        members["atomicityGroup"] = request.atomicity_group
    members["status"] = response.status
    members["headers"] = {name.lower(): value for name, value in response.headers.items()}
    text = json.dumps(members, separators=(",", ":"))
    if not response.body:
        return text
    content_type = response.headers["Content-Type"]
    if content_type.startswith(JSON):
        body = response.body  # JSON already
    elif content_type.startswith("text/"):
        body = json.dumps(response.body, ensure_ascii=False)
    else:
        body = json.dumps(base64.urlsafe_b64encode(response.body.encode()).decode().rstrip("="))
    return f'{text[:-1]},"body":{body}}}'
