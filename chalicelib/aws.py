"""Build boto3's clients of AWS services but DynamoDB, whose client is in ``chalicelib.dynamodb``.

boto3 is slow to import, so intake must not import this module.
"""

from typing import Any

import boto3
from botocore.config import Config

_CONNECT_TIMEOUT_S = 2
# A process reads a secret once, while a client waits for the first response.
_SECRET_READ_TIMEOUT_S = 3
_SECRET_ATTEMPTS = 2
# A request of an operator waits for a page of the log: operations/reconcile_steps.
_LOGS_READ_TIMEOUT_S = 6
_LOGS_ATTEMPTS = 3


def secrets(service: str) -> Any:
    """Build a client of ``ssm`` or ``secretsmanager``."""
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_SECRET_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _SECRET_ATTEMPTS},
    )
    return boto3.client(service, config=config)


def s3(timeout_s: float) -> Any:
    """Build a client of S3 for a caller that waits ``timeout_s`` for the journal."""
    config = Config(
        connect_timeout=min(_CONNECT_TIMEOUT_S, timeout_s / 2),
        read_timeout=timeout_s / 2,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=32,
    )
    return boto3.client("s3", config=config)


def logs(attempts: int = _LOGS_ATTEMPTS) -> Any:
    """Build a client of CloudWatch Logs. Throttled calls are repeated, as AWS advises.

    Args:
        attempts: most attempts at a page of the log. An account may read few pages a second, all
            its readers together.
    """
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_LOGS_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    return boto3.client("logs", config=config)
