"""Choose the client of DynamoDB that fits the environment of this process."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from chalicelib.dynamodb import aws_environment
from chalicelib.dynamodb.lean_client import LeanClient

# A put takes milliseconds. A phone waits for it, so all retries must fit into the phone's timeout.
_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 5.0


def connect(environ: Mapping[str, str]) -> Any:
    """Build the client: a lean one if the environment has all it needs, else boto3's.

    Both have boto3's methods, and raise ``DynamoDBError`` if a call fails.

    Raises:
        MisconfiguredError: this process has no AWS region, or a profile that does not exist.
    """
    found = aws_environment.read(environ)
    connect_by_boto3 = partial(
        _boto3, connect_timeout_s=_CONNECT_TIMEOUT_S, read_timeout_s=_READ_TIMEOUT_S
    )
    if found is None:
        return connect_by_boto3()
    return LeanClient(
        found,
        connect_timeout_s=_CONNECT_TIMEOUT_S,
        response_timeout_s=_READ_TIMEOUT_S,
        connect_by_boto3=connect_by_boto3,
    )


def _boto3(**timeouts: float) -> Any:
    from chalicelib.dynamodb import boto_client  # noqa: PLC0415 - slow to import

    return boto_client.connect(**timeouts)
