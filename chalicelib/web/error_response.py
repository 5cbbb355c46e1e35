"""What an error is on the wire: its HTTP status, its headers and the one error shape.

The shape is OData's: JSON 4.01, section 21 (error response).
"""

from typing import Any

from chalicelib.errors import (
    ContentCodingError,
    DependencyError,
    ForbiddenError,
    InvalidError,
    MediaTypeError,
    MethodNotAllowedError,
    MisconfiguredError,
    NotAcceptableError,
    NotFoundError,
    NotImplementedByServiceError,
    PreconditionError,
    PunchClockError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)

_RETRY_AFTER_S = 2
_STATUS_CODES: dict[type[PunchClockError], int] = {
    InvalidError: 400,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    MethodNotAllowedError: 405,
    NotAcceptableError: 406,
    PreconditionError: 412,
    TooLargeError: 413,
    MediaTypeError: 415,
    ContentCodingError: 415,
    DependencyError: 424,
    NotImplementedByServiceError: 501,
    MisconfiguredError: 503,
    UnavailableError: 503,
}


def our_fault() -> PunchClockError:
    """Return what is told of an exception that nobody expected: nothing."""
    return PunchClockError("The service met a fault of its own.")


def status_of(error: PunchClockError) -> int:
    """Return the HTTP status code."""
    return _STATUS_CODES.get(type(error), 500)


def headers_of(error: PunchClockError) -> dict[str, str]:
    """Return the headers that the error asks for: when to try again, what is allowed."""
    if isinstance(error, UnavailableError):
        return {"Retry-After": str(_RETRY_AFTER_S)}
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": _challenge(error)}
    if isinstance(error, MethodNotAllowedError):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, ContentCodingError):
        return {"Accept-Encoding": "identity"}  # RFC 9110, section 12.5.3
    return {}


def _challenge(error: UnauthenticatedError) -> str:
    """Say what is asked for: RFC 6750, section 3."""
    if not error.is_invalid:
        return 'Bearer realm="punch-clock"'
    return f'Bearer realm="punch-clock", error="invalid_token", error_description="{error.message}"'


def body_of(error: PunchClockError) -> dict[str, Any]:
    """Return the body, to be written as JSON."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.target:
        body["target"] = error.target
    if error.details:
        body["details"] = [
            {"code": each.code, "message": each.message, "target": each.target}
            for each in error.details
        ]
    return {"error": body}
