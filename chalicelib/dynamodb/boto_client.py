"""boto3's client of DynamoDB, with timeouts for a caller who waits and this package's errors.

This module imports boto3, which is slow: import it only when a call needs it.
"""

import random
import re
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from chalicelib.dynamodb.dynamodb_error import DynamoDBError
from chalicelib.dynamodb.retries import MAX_ATTEMPTS
from chalicelib.errors import MisconfiguredError

# What botocore's parsers raise for a body that is not DynamoDB's, such as a list instead of an
# object, or HTML where they expect CBOR.
_PARSER_ERRORS = (
    ResponseParserError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Boto3Client:
    """``boto3.client("dynamodb")`` whose calls raise ``DynamoDBError`` for any failure.

    Args:
        client: boto3's client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """Return the method of an operation, such as ``put_item``."""
        method = getattr(self._client, operation)

        def call(**request: Any) -> Any:
            try:
                return method(**request)
            except ClientError as error:
                response = error.response
                code = response.get("Error", {}).get("Code", "")
                raise DynamoDBError(str(error), code, response) from error
            except (BotoCoreError, *_PARSER_ERRORS) as error:
                raise DynamoDBError(str(error)) from error

        return call


def connect(*, connect_timeout_s: float, read_timeout_s: float) -> Boto3Client:
    """Build the client from all that boto3 reads: environment, files, roles.

    Raises:
        MisconfiguredError: this process has no AWS region, or a profile that does not exist.
    """
    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
        max_pool_connections=64,
        # The buffer builds valid requests. Validating them takes a quarter of the CPU of a batch
        # of deletes.
        parameter_validation=False,
        # botocore would build its long default for every call, at a tenth of the call's CPU.
        user_agent="punch-clock",
    )
    try:
        client = boto3.client("dynamodb", config=config)
    except BotoCoreError as error:
        raise MisconfiguredError("The AWS region or profile of this stage is missing.") from error
    # Environments that Lambda starts from one snapshot share the state of random, so that their
    # retries would come as one wave:
    # https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
    random.seed()
    client.meta.events.register("after-call.dynamodb", _reject_foreign_response)
    return Boto3Client(client)


def _reject_foreign_response(http_response: Any, model: Any, **_: Any) -> None:
    """Reject a success that is not from DynamoDB: botocore takes any 200 for one.

    An error acknowledges nothing. Imitations of DynamoDB, such as moto, send it under other media
    types. The model of DynamoDB in the installed botocore decides the protocol,
    and so the media type of a success. On Lambda, AWS replaces botocore with the runtime.

    Raises:
        HTTPClientError: something on the way, such as a captive portal, responded instead; or the
            body is cut; or this module does not know the protocol's media type.
    """
    if http_response.status_code >= _MULTIPLE_CHOICES:
        return
    protocol = model.service_model.resolved_protocol
    expected = _MEDIA_TYPES.get(protocol)
    if expected is None:
        raise HTTPClientError(error=f"the media type of the protocol {protocol} is not known")
    media_type = http_response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if expected.fullmatch(media_type) is None:
        raise HTTPClientError(error="the response is not from DynamoDB")
    body = http_response.content.strip()
    is_object = body.startswith(b"{") and body.endswith(b"}")
    if protocol == "json" and not is_object:
        # botocore takes JSON that it cannot parse for a message.
        raise HTTPClientError(error="the response is not a JSON object")


# From here on botocore takes a status for an error.
_MULTIPLE_CHOICES = 300
# The media types of responses, by the protocol's name in botocore's models of services:
# https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html and
# https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
_MEDIA_TYPES = {
    "json": re.compile(r"application/x-amz-json-1\.[01]"),
    "smithy-rpc-v2-cbor": re.compile(r"application/cbor"),
}
