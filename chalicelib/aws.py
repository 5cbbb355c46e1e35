"""The clients of AWS' services, each with the patience of whoever waits for its answer."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import HTTPClientError

# A put takes milliseconds. A phone waits for it, so trying again must fit into its patience.
_BUFFER_CONNECT_TIMEOUT_S = 2
_BUFFER_READ_TIMEOUT_S = 5
_BUFFER_TRIES = 3
# A secret is read once, while somebody waits for the first answer of a process.
_SECRET_CONNECT_TIMEOUT_S = 2
_SECRET_READ_TIMEOUT_S = 3
_SECRET_TRIES = 2


def dynamodb() -> Any:
    """Make a client for the buffer: ``boto3.client("dynamodb")``, but for what it takes time for.

    Its calls raise ``HTTPClientError`` where something else than DynamoDB has answered.
    """
    config = Config(
        connect_timeout=_BUFFER_CONNECT_TIMEOUT_S,
        read_timeout=_BUFFER_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _BUFFER_TRIES},
        max_pool_connections=64,
        # What the buffer asks for is of the right shape: looking it over again costs a
        # quarter of a batch of deletes.
        parameter_validation=False,
        # botocore makes its own long one anew for every call, at a tenth of a call's CPU.
        user_agent="punch-clock",
    )
    client = boto3.client("dynamodb", config=config)
    client.meta.events.register("after-call.dynamodb", _refuse_strangers)
    return client


def secrets(service: str) -> Any:
    """Make a client of ``ssm`` or ``secretsmanager``."""
    config = Config(
        connect_timeout=_SECRET_CONNECT_TIMEOUT_S,
        read_timeout=_SECRET_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _SECRET_TRIES},
    )
    return boto3.client(service, config=config)


def logs() -> Any:
    """Make a client of CloudWatch's logs, for which nobody waits."""
    return boto3.client("logs")


def _refuse_strangers(http_response: Any, **_: Any) -> None:
    """Refuse an answer that is not DynamoDB's own: botocore takes any 200 for a success.

    Raises:
        HTTPClientError: something between here and DynamoDB has answered in its place.
    """
    if not http_response.headers.get("content-type", "").startswith("application/x-amz-json"):
        raise HTTPClientError(error="the answer is not DynamoDB's")
