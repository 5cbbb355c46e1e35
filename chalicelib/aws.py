"""Build the clients of AWS services, each with timeouts that fit the caller who waits."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import HTTPClientError

# A put takes milliseconds. A phone waits for it, so all retries must fit into the phone's timeout.
_BUFFER_CONNECT_TIMEOUT_S = 2
_BUFFER_READ_TIMEOUT_S = 5
_BUFFER_ATTEMPTS = 3
# A process reads a secret once, while a client waits for the first response.
_SECRET_CONNECT_TIMEOUT_S = 2
_SECRET_READ_TIMEOUT_S = 3
_SECRET_ATTEMPTS = 2


def dynamodb() -> Any:
    """Build the client of the buffer: ``boto3.client("dynamodb")`` without its slow parts.

    A call raises ``HTTPClientError`` if something other than DynamoDB responds.
    """
    config = Config(
        connect_timeout=_BUFFER_CONNECT_TIMEOUT_S,
        read_timeout=_BUFFER_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _BUFFER_ATTEMPTS},
        max_pool_connections=64,
        # The buffer builds valid requests. Validating them takes a quarter of the CPU of a batch
        # of deletes.
        parameter_validation=False,
        # botocore would build its long default for every call, at a tenth of the call's CPU.
        user_agent="punch-clock",
    )
    client = boto3.client("dynamodb", config=config)
    client.meta.events.register("after-call.dynamodb", _reject_foreign_response)
    return client


def secrets(service: str) -> Any:
    """Build a client of ``ssm`` or ``secretsmanager``."""
    config = Config(
        connect_timeout=_SECRET_CONNECT_TIMEOUT_S,
        read_timeout=_SECRET_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _SECRET_ATTEMPTS},
    )
    return boto3.client(service, config=config)


def logs() -> Any:
    """Build a client of CloudWatch Logs. No request waits for it, so the defaults are fine."""
    return boto3.client("logs")


def _reject_foreign_response(http_response: Any, **_: Any) -> None:
    """Reject a response that is not from DynamoDB: botocore takes any 200 for a success.

    Raises:
        HTTPClientError: something on the way, such as a captive portal, responded instead.
    """
    if not http_response.headers.get("content-type", "").startswith("application/x-amz-json"):
        raise HTTPClientError(error="the response is not from DynamoDB")
