"""Define the exceptions that the steps raise, each with what it is over HTTP.

A class has the ``code`` of the error body and the HTTP status; an instance has the headers. Every
class states its own status, so that a new error cannot become a 500 by accident.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chalicelib.retry_window import RetryWindow

_RETRY_WINDOW = RetryWindow()
_REALM = 'realm="punch-clock"'


@dataclass(frozen=True, slots=True)
class Detail:
    """One fault of a request: the field or query option, and what is wrong with it."""

    target: str
    message: str
    code: str


class PunchClockError(Exception):
    """Base of the service's errors. Clients see ``code`` and ``message``, so neither has internals.

    Attributes:
        target: the field, query option or header at fault.
        details: every fault, where one request may have several.
    """

    code: ClassVar[str] = "InternalError"
    http_status: ClassVar[int] = 500

    def __init__(
        self, message: str, *, target: str | None = None, details: Sequence[Detail] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.details = tuple(details)

    @property
    def headers(self) -> dict[str, str]:
        """The response headers that belong to this error."""
        return {}


class InternalError(PunchClockError):
    """An unexpected exception. The client gets no details; the log has the traceback."""

    code = "InternalError"
    http_status = 500

    def __init__(self) -> None:
        super().__init__("The service could not handle this request because of an internal error.")


class InvalidError(PunchClockError):
    """The request is at fault: a header, a query option or what it asks for."""

    code = "Invalid"
    http_status = 400


class InvalidCursorError(InvalidError):
    """The ``cursor`` of an operator's command is not one that an earlier call returned."""

    code = "Invalid"
    http_status = 400

    def __init__(self) -> None:
        super().__init__(
            "cursor must be the one that the last call returned. Leave it out to start.",
            target="cursor",
        )


class MalformedError(InvalidError):
    """The body is not JSON, or not a point record. It will never be accepted as it is."""

    code = "Malformed"
    http_status = 400


class TooOldError(InvalidError):
    """The punch is valid, but its instant is before the first that the service can store."""

    code = "TooOld"
    http_status = 400


class InTheFutureError(InvalidError):
    """The punch is valid, but its instant is later than the service's clock allows yet."""

    code = "InTheFuture"
    http_status = 400


class TooLargeError(InvalidError):
    """The body, the URL or the batch exceeds a size limit."""

    code = "TooLarge"
    http_status = 413


class MediaTypeError(InvalidError):
    """The route does not support the media type of the body."""

    code = "UnsupportedMediaType"
    http_status = 415


class ContentCodingError(InvalidError):
    """The body is in a content coding, such as gzip."""

    code = "UnsupportedContentCoding"
    http_status = 415

    @property
    def headers(self) -> dict[str, str]:
        """The one coding that the service supports: RFC 9110, section 12.5.3."""
        return {"Accept-Encoding": "identity"}


class NotAcceptableError(InvalidError):
    """The resource has no format that the client accepts."""

    code = "NotAcceptable"
    http_status = 406


class UnauthenticatedError(PunchClockError):
    """The caller is unknown.

    Attributes:
        is_invalid: the request has a token, and the token is not valid.
        offers_basic: the challenge offers Basic. A browser asks its user for a password then, even
            if a script of a page sent the request.
        authorization_uri: where a person gets a token; clients such as Excel open it.
    """

    code = "Unauthenticated"
    http_status = 401

    def __init__(self, message: str, *, is_invalid: bool = False) -> None:
        super().__init__(message)
        self.is_invalid = is_invalid
        self.offers_basic = True
        self.authorization_uri = ""

    @property
    def headers(self) -> dict[str, str]:
        """The challenges: RFC 6750, section 3, and RFC 7617, section 2."""
        bearer = f"Bearer {_REALM}"
        if self.authorization_uri:
            bearer += f', authorization_uri="{self.authorization_uri}"'
        if self.is_invalid:
            bearer += f', error="invalid_token", error_description="{self.message}"'
        basic = f', Basic {_REALM}, charset="UTF-8"' if self.offers_basic else ""
        return {"WWW-Authenticate": bearer + basic}


class ForbiddenError(PunchClockError):
    """The principal is known and may not do this."""

    code = "Forbidden"
    http_status = 403


class NotFoundError(PunchClockError):
    """The resource does not exist, or the principal may not read it."""

    code = "NotFound"
    http_status = 404


class MethodNotAllowedError(InvalidError):
    """The resource exists and does not support this method.

    Attributes:
        allowed: the methods that it supports.
    """

    code = "MethodNotAllowed"
    http_status = 405

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)

    @property
    def headers(self) -> dict[str, str]:
        """The methods that the resource supports: RFC 9110, section 15.5.6."""
        return {"Allow": ", ".join(self.allowed)}


class GoneError(PunchClockError):
    """The page cannot be found any more: the entity that it follows was erased or has changed."""

    code = "Gone"
    http_status = 410


class PreconditionError(InvalidError):
    """A precondition of the request does not hold."""

    code = "PreconditionFailed"
    http_status = 412


class DependencyError(PunchClockError):
    """Another request of the batch, on which this one depends, has failed."""

    code = "FailedDependency"
    http_status = 424


class NotImplementedByServiceError(PunchClockError):
    """The request is legal OData that this service does not support."""

    code = "NotImplemented"
    http_status = 501


class MisconfiguredError(PunchClockError):
    """A setting of this stage is missing or malformed, and a retry would not help.

    The message names the setting and never its value. ``settings.SettingsError``, whose message may
    have the value, becomes one of these before it reaches a client.
    """

    code = "Misconfigured"
    http_status = 503


class UnavailableError(PunchClockError):
    """A store cannot serve now. The same request may succeed later."""

    code = "Unavailable"
    http_status = 503

    @property
    def headers(self) -> dict[str, str]:
        """The shortest wait before a retry, another one for each client."""
        return {"Retry-After": str(_RETRY_WINDOW.next_s())}
