"""Both clients of DynamoDB, the lean one and boto3's, for the same environment."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.dynamodb import aws_environment, boto_client
from chalicelib.dynamodb.boto_client import Boto3Client
from chalicelib.dynamodb.lean_client import LeanClient
from local.dynamodb.server import CREDENTIALS


def variables(url: str, region: str = "us-east-1", token: str = "") -> dict[str, str]:
    """Return the environment of both clients."""
    session = {"AWS_SESSION_TOKEN": token} if token else {}
    return {
        **CREDENTIALS,
        **session,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL_DYNAMODB": url,
    }


def never() -> Any:
    raise AssertionError("boto3 is not needed")


def lean(
    environ: dict[str, str],
    connect_by_boto3: Callable[[], Any] = never,
    **options: Any,
) -> LeanClient:
    """Return the lean client. By default, it must not need boto3."""
    found = aws_environment.read(environ)
    assert found is not None
    timeouts: dict[str, Any] = {"connect_timeout_s": 2, "response_timeout_s": 5}
    return LeanClient(found, connect_by_boto3=connect_by_boto3, **{**timeouts, **options})


def by_boto3(environ: dict[str, str]) -> Boto3Client:
    """Return boto3's client."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr("boto3.DEFAULT_SESSION", None)
        return boto_client.connect(connect_timeout_s=2, read_timeout_s=5)
