"""The error of a call to DynamoDB, and what it says about a retry."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

# The lists of botocore's mode "standard", which tests/unit/dynamodb compares them with.
_THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_TRANSIENT_CODES = frozenset(
    {"ReplicatedWriteConflictException", "RequestTimeout", "RequestTimeoutException"}
)
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})
_THROTTLING_STATUS = 429
# What AWS services answer to a signature of another time. DynamoDB sends the first one also for a
# signature that is wrong at any time.
_CLOCK_CODES = frozenset(
    {
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)


class Retry(Enum):
    """Whether the same call may succeed later."""

    NEVER = "never"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    CLOCK = "clock"


class DynamoDBError(Exception):
    """A call failed. The message is fit for the log, and not for clients.

    Attributes:
        code: the error code of DynamoDB, such as ``ConditionalCheckFailedException``; empty if
            DynamoDB did not respond.
        fields: the members of the error response, such as ``Item`` or ``CancellationReasons``.
    """

    def __init__(self, message: str, code: str = "", fields: Mapping[str, Any] | None = None):
        super().__init__(message)
        self.code = code
        self.fields: Mapping[str, Any] = fields or {}


def error_code(status: int, fields: Mapping[str, Any], header: str = "") -> str:
    """Return the code of an error response; without one, the status.

    The code may have a namespace before it and a URL after it:
    https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html#operation-error-serialization

    Args:
        status: the status of the response.
        fields: the members of its body.
        header: its header ``x-amzn-errortype``, which has the code if the body has none.
    """
    kind = fields.get("__type") or header
    if not isinstance(kind, str) or not kind:
        return str(status)
    return kind.partition(":")[0].rpartition("#")[2]


def retry_of(status: int, code: str) -> Retry:
    """Decide from the status and the code of an error response whether to retry."""
    if code in _THROTTLING_CODES or status == _THROTTLING_STATUS:
        return Retry.THROTTLED
    if code in _TRANSIENT_CODES or status in _TRANSIENT_STATUSES:
        return Retry.TRANSIENT
    if code in _CLOCK_CODES:
        return Retry.CLOCK
    return Retry.NEVER
