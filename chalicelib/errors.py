"""The exceptions that steps raise. ``web.error_answer`` knows which HTTP status each becomes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detail:
    """One fault: the field or option at fault, and why."""

    target: str
    message: str
    code: str = "Invalid"


class PunchClockError(Exception):
    """Base of ours. ``code`` and ``message`` go to the client, so they name no internals."""

    code = "InternalError"

    def __init__(
        self, message: str, *, target: str | None = None, details: Sequence[Detail] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.details = tuple(details)


class InvalidError(PunchClockError):
    """The request is at fault: its body, a field or a query option."""

    code = "Invalid"


class TooLargeError(InvalidError):
    """The body is larger than the service reads."""

    code = "TooLarge"


class MediaTypeError(InvalidError):
    """The body is of a media type that the route does not read."""

    code = "UnsupportedMediaType"


class ContentCodingError(InvalidError):
    """The body is in a content coding, such as gzip."""

    code = "UnsupportedContentCoding"


class NotAcceptableError(InvalidError):
    """The client accepts no format that the resource has."""

    code = "NotAcceptable"


class UnauthenticatedError(PunchClockError):
    """Who asks is not known. ``is_invalid``: there is a token, and it is not to be believed."""

    code = "Unauthenticated"

    def __init__(self, message: str, *, is_invalid: bool = False) -> None:
        super().__init__(message)
        self.is_invalid = is_invalid


class ForbiddenError(PunchClockError):
    """The principal is known, and may not do this."""

    code = "Forbidden"


class NotFoundError(PunchClockError):
    """There is no such resource."""

    code = "NotFound"


class MethodNotAllowedError(InvalidError):
    """The resource is there, but not for this method. ``allowed`` are those it has."""

    code = "MethodNotAllowed"

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class PreconditionError(InvalidError):
    """The request was to be served under a condition that does not hold."""

    code = "PreconditionFailed"


class DependencyError(PunchClockError):
    """Another request of the batch, which this one builds on, has failed."""

    code = "FailedDependency"


class NotImplementedByServiceError(PunchClockError):
    """The request is legal OData that this service does not support."""

    code = "NotImplemented"


class MisconfiguredError(PunchClockError):
    """The stage lacks a setting without which it refuses to serve."""

    code = "Misconfigured"


class UnavailableError(PunchClockError):
    """A store cannot serve now. The same request may succeed later."""

    code = "Unavailable"
