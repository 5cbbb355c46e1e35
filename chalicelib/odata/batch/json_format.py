"""Batches as JSON: JSON 4.01, section 19."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.errors import DependencyError, InvalidError
from chalicelib.odata.batch.executor import Part, Reply, is_name, require_at_most
from chalicelib.odata.negotiation import JSON
from chalicelib.strict_json import load_json


def read_parts(body: bytes, most: int) -> list[Part]:
    """Read the parts of a batch. One that is no request is answered by itself, if it has an id.

    Raises:
        InvalidError: the body is no batch, has more than ``most`` requests, or they cannot be told
            from each other.
    """
    document = load_json(body)
    requests = document.get("requests") if isinstance(document, dict) else None
    if not isinstance(requests, list):
        raise InvalidError("A batch is an object with an array of requests.", target="requests")
    require_at_most(most, len(requests))
    ids: set[str] = set()
    groups: list[str] = []
    parts = []
    for number, each in enumerate(requests):
        target = f"requests/{number}"
        if not isinstance(each, dict) or not is_name(each.get("id")):
            raise InvalidError(
                "A request of a batch has an id, a text of 1 to 100 characters.",
                target=target,
            )
        name, group = each["id"], each.get("atomicityGroup")
        if name in ids or name in groups:
            raise InvalidError(f"There are two requests with the id {name}.", target=target)
        ids.add(name)
        if group is not None:
            if not is_name(group) or group in ids or group in groups[:-1]:
                raise InvalidError(
                    "An atomicityGroup is a text that is no id, of requests that stand together.",
                    target=target,
                )
            if group not in groups:
                groups.append(group)
        elif groups and groups[-1]:
            groups.append("")  # what comes from here on does not stand together with it
        parts.append(_part(each, name, group))
    return parts


def _part(request: Mapping[str, Any], name: str, group: str | None) -> Part:
    try:
        headers = _headers(request.get("headers"))
        method = _text(request, "method").upper()
        depends_on = request.get("dependsOn", [])
        if not isinstance(depends_on, list) or not all(isinstance(n, str) for n in depends_on):
            raise InvalidError("dependsOn is an array of ids.", target="dependsOn")
        if "if" in request:
            # What a service without such conditions is to answer, by the standard.
            raise DependencyError("A condition (if) on other requests is not supported.")
        body = _body(request.get("body"), method, headers)
        return Part(method, _text(request, "url"), headers, body, name, group, depends_on)
    except (InvalidError, DependencyError) as error:
        return Part(str(request.get("method")), id=name, group=group, fault=error)


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidError(f"{name} must be a text.", target=name)
    return value


def _headers(headers: object) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise InvalidError("headers is an object of texts.", target="headers")
    return {name.lower(): value for name, value in headers.items()}


def _body(body: object, method: str, headers: dict[str, str]) -> bytes:
    """Return the bytes that the body stands for; what they are is known by the content type."""
    if body is None:
        return b""
    if method in ("GET", "DELETE"):
        raise InvalidError(f"{method} has no body.", target="body")
    kind = headers.setdefault("content-type", JSON).partition(";")[0].strip().lower()
    if kind == JSON or kind.endswith("+json"):
        return json.dumps(body).encode()
    if not isinstance(body, str):
        raise InvalidError(f"A body of {kind[:100]} is a text.", target="body")
    try:
        if kind.startswith("text/"):
            return body.encode()
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise InvalidError(f"A body of {kind[:100]} is base64url.", target="body") from error


def write_replies(replies: Sequence[Reply]) -> str:
    """Return the body of an answer."""
    return f'{{"responses":[{",".join(map(_written, replies))}]}}'


def _written(reply: Reply) -> str:
    part, response = reply.part, reply.response
    members: dict[str, Any] = {} if part.id is None else {"id": part.id}
    if part.group is not None:
        members["atomicityGroup"] = part.group
    members["status"] = response.status
    members["headers"] = {name.lower(): value for name, value in response.headers.items()}
    text = json.dumps(members, separators=(",", ":"))
    if not response.body:
        return text
    kind = response.headers["Content-Type"]
    if kind.startswith(JSON):
        body = response.body  # JSON already
    elif kind.startswith("text/"):
        body = json.dumps(response.body, ensure_ascii=False)
    else:
        body = json.dumps(base64.urlsafe_b64encode(response.body.encode()).decode().rstrip("="))
    return f'{text[:-1]},"body":{body}}}'
