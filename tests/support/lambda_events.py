"""Events of Lambda functions, in the form in which API Gateway and EventBridge send them."""

import base64
from typing import Any

from chalice.local import LambdaContext

from tests.support.tokens import OPERATOR

HOST = "abc123.execute-api.eu-central-1.amazonaws.com"


def context(seconds: float = 60.0) -> LambdaContext:
    """The context of an invocation with this much time left."""
    return LambdaContext("punch-clock-dev", 512, max_runtime_ms=int(seconds * 1000))


def schedule_event() -> dict[str, Any]:
    """The event of a rule with a rate, as EventBridge sends it."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-22T12:00:00Z",
        "region": "eu-central-1",
        "resources": ["arn:aws:events:eu-central-1:123456789012:rule/punch-clock-dev-replicate"],
        "detail": {},
    }


def rest_event(
    method: str,
    path: str,
    *,
    resource: str | None = None,
    path_parameters: dict[str, str] | None = None,
    body: str | bytes | None = None,
    headers: dict[str, str] | None = None,
    query: dict[str, list[str]] | None = None,
    stage: str = "api",
    stage_in_path: bool = True,
) -> dict[str, Any]:
    """The event of a request to a REST API with proxy integration, as API Gateway sends it.

    Args:
        method: the HTTP method.
        path: the path of the URL, without the stage.
        resource: the route; by default the path.
        path_parameters: the values of the route's parameters.
        body: the body; bytes are sent as Base64.
        headers: added to those of every request.
        query: the query options, each with its values.
        stage: the name of the stage.
        stage_in_path: false for a custom domain, whose URLs do not have the stage.
    """
    headers = {
        "Host": HOST,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "X-Forwarded-For": "203.0.113.7",
        "User-Agent": "punch/1.0",
        **OPERATOR,
        **(headers or {}),
    }
    is_bytes = isinstance(body, bytes)
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: each[-1] for name, each in (query or {}).items()} or None,
        "multiValueQueryStringParameters": query,
        "pathParameters": path_parameters,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "a1b2c3",
            "resourcePath": resource or path,
            "httpMethod": method,
            "extendedRequestId": "XyZ=",
            "requestTime": "22/Nov/2026:12:00:00 +0000",
            "path": f"/{stage}{path}" if stage_in_path else path,
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": stage,
            "domainPrefix": "abc123",
            "requestTimeEpoch": 1_795_348_800_000,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "punch/1.0"},
            "domainName": HOST,
            "apiId": "abc123",
        },
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": is_bytes,
    }
