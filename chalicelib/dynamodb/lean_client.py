"""A client of DynamoDB that needs a tenth of boto3's CPU for PutItem and GetItem.

Both calls are idempotent, so a request whose response was lost is sent again. A conditional put
that is repeated may fail because its own first attempt has succeeded. The caller therefore compares
the stored item with its own: ``Buffer.put``.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from zlib import crc32

from chalicelib.dynamodb.aws_environment import AwsEnvironment, host_header
from chalicelib.dynamodb.dynamodb_error import DynamoDBError, Retry, error_code, retry_of
from chalicelib.dynamodb.http_response import Response
from chalicelib.dynamodb.kept_connections import KeptConnections, NoResponseError
from chalicelib.dynamodb.retries import MAX_ATTEMPTS, RetryBudget, delay_s
from chalicelib.dynamodb.signature import Signer

_JSON = "application/x-amz-json-1.0"
_OK = 200
_UNSIGNED = "accept-encoding: identity\r\nuser-agent: punch-clock\r\n"
_JSON_FAMILY = "application/x-amz-json"
# An error acknowledges nothing, so its media type is no proof of its sender. Imitations of
# DynamoDB, such as moto, send errors under the second one.
_ERROR_FAMILIES = (_JSON_FAMILY, "application/json")
# AWS accepts a signature for five minutes: a smaller difference is not why it was rejected.
_MIN_SKEW_S = 240.0


class LeanClient:
    """The client. Its methods are those of ``boto3.client("dynamodb")``. Thread-safe.

    ``put_item`` and ``get_item`` are its own: attribute values that are binary are not converted.
    Every other method is boto3's, which is imported at its first use.

    Args:
        environment: credentials, region and endpoint.
        connect_timeout_s: timeout of a connection, and of its TLS handshake.
        response_timeout_s: timeout of one attempt on an open connection.
        connect_by_boto3: builds boto3's client.
        clock: returns the seconds since the epoch.
        sleep: waits for a number of seconds between two attempts.
    """

    def __init__(
        self,
        environment: AwsEnvironment,
        *,
        connect_timeout_s: float,
        response_timeout_s: float,
        connect_by_boto3: Callable[[], Any],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pool = KeptConnections(
            environment.server,
            connect_timeout_s=connect_timeout_s,
            response_timeout_s=response_timeout_s,
            clock=clock,
        )
        self._signer = Signer(environment.credentials, environment.region, "dynamodb")
        self._host = host_header(environment.server)
        self._connect_by_boto3 = connect_by_boto3
        self._clock = clock
        self._sleep = sleep
        self._budget = RetryBudget()
        self._skew_s = 0.0  # how far DynamoDB's clock is ahead of this one
        self._boto3: Any = None
        self._lock = threading.Lock()

    def put_item(self, **request: Any) -> dict[str, Any]:
        """Call PutItem.

        Raises:
            DynamoDBError: DynamoDB rejected the call, or did not respond.
        """
        return self._call("PutItem", request)

    def get_item(self, **request: Any) -> dict[str, Any]:
        """Call GetItem.

        Raises:
            DynamoDBError: DynamoDB rejected the call, or did not respond.
        """
        return self._call("GetItem", request)

    def __getattr__(self, operation: str) -> Any:
        """Return boto3's method of another operation."""
        if operation.startswith("_"):
            raise AttributeError(operation)
        with self._lock:
            if self._boto3 is None:
                self._boto3 = self._connect_by_boto3()
        return getattr(self._boto3, operation)

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(request).encode()
        tokens = 1
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                fields = self._attempt(operation, body)
            except _AttemptError as error:
                if attempt == MAX_ATTEMPTS:
                    raise
                tokens = self._prepare_retry(error, attempt)
            else:
                self._budget.give_back(tokens)
                return fields
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, operation: str, body: bytes) -> dict[str, Any]:
        """Send a request once, and return the members of the response."""
        to_sign = {
            "content-type": _JSON,
            "host": self._host,
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        headers = self._signer.sign(to_sign, body, self._clock() + self._skew_s)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"POST / HTTP/1.1\r\n{lines}{_UNSIGNED}content-length: {len(body)}\r\n\r\n"
        try:
            response = self._pool.send(head.encode() + body)
        except NoResponseError as error:
            retry = Retry.TRANSIENT if error.is_transient else Retry.NEVER
            raise _AttemptError(f"{operation}: {error}", retry, is_stale=error.was_kept) from error
        return _fields(operation, response)

    def _prepare_retry(self, error: "_AttemptError", attempt: int) -> int:
        """Wait before the next attempt, and return the tokens it took; raise if none may help."""
        if error.retry is Retry.CLOCK and self._correct_skew(error.headers.get("date", "")):
            return 1
        if error.retry in (Retry.NEVER, Retry.CLOCK):
            raise error
        tokens = self._budget.take(error.retry)
        if not tokens:
            raise error
        if not error.is_stale:
            asked_ms = error.headers.get("x-amz-retry-after")
            self._sleep(delay_s(error.retry, attempt, asked_ms))
        return tokens

    def _correct_skew(self, date: str) -> bool:
        """Follow DynamoDB's clock if it differs; return whether another signature may help."""
        try:
            skew_s = parsedate_to_datetime(date).timestamp() - self._clock()
        except (ValueError, OverflowError):  # no date, or none of the years 1 to 9999
            return False
        if abs(skew_s - self._skew_s) < _MIN_SKEW_S:
            return False
        self._skew_s = skew_s
        return True


class _AttemptError(DynamoDBError):
    """One attempt failed.

    Attributes:
        retry: whether another attempt may succeed.
        headers: the headers of the response, if there was one.
        is_stale: the connection had been closed before the attempt, so no wait is necessary.
    """

    def __init__(
        self,
        message: str,
        retry: Retry,
        code: str = "",
        fields: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        is_stale: bool = False,
    ) -> None:
        super().__init__(message, code, fields)
        self.retry = retry
        self.headers: Mapping[str, str] = headers or {}
        self.is_stale = is_stale


def _fields(operation: str, response: Response) -> dict[str, Any]:
    """Return the members of a successful response.

    Raises:
        _AttemptError: DynamoDB rejected the call, or something else responded.
    """
    status, headers, body = response.status, response.headers, response.body
    expected = _JSON_FAMILY if status == _OK else _ERROR_FAMILIES
    if not headers.get("content-type", "").startswith(expected):
        # A proxy or a captive portal. Its status may still say that it will pass.
        message = f"{operation}: the response is not from DynamoDB (status {status})"
        raise _AttemptError(message, retry_of(status, ""), headers=headers)
    if headers.get("x-amz-crc32", str(crc32(body))) != str(crc32(body)):
        raise _AttemptError(f"{operation}: the response has a wrong CRC32", Retry.TRANSIENT)
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if status == _OK and isinstance(fields, dict):
        return fields
    fields = fields if isinstance(fields, dict) else {}
    code = error_code(status, fields, headers.get("x-amzn-errortype", ""))
    # Only the first line: after it, a rejected signature is explained, with the session token.
    text = str(fields.get("message", fields.get("Message", "no message"))).partition("\n")[0]
    request_id = headers.get("x-amzn-requestid", "unknown")
    message = f"{operation}: {code} (status {status}, request {request_id}): {text}"
    raise _AttemptError(message, retry_of(status, code), code, fields, headers=headers)
