"""What HTTP headers say of who asks from where and how, and what is said to browsers in return."""

from collections.abc import Mapping
from typing import Any

from chalicelib.errors import ContentCodingError

# A year. Over plain HTTP it means nothing, and is not said: RFC 6797, section 7.2.
_TLS_ALONE = {"Strict-Transport-Security": "max-age=31536000"}
# An answer is somebody's own: nobody keeps it, and no browser takes it for a page.
_ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, If-Match, If-None-Match,"
    " OData-Isolation, OData-MaxVersion, OData-Version, Prefer",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = (
    "ETag, Location, OData-EntityId, OData-Version, Preference-Applied, Retry-After,"
    " WWW-Authenticate"
)

# What the gateway answers by itself, whatever the stage's origins: it says nothing of anybody, and
# an app in a browser is to see that it asked for too much, or too often.
OF_GATEWAY = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def authorizations(event: Mapping[str, Any]) -> list[str]:
    """Return the value of each Authorization header: API Gateway keeps apart what came twice."""
    several = event.get("multiValueHeaders") or {}
    found = [each for name in several if name.lower() == "authorization" for each in several[name]]
    single = [
        value
        for name, value in (event.get("headers") or {}).items()
        if name.lower() == "authorization"
    ]
    return found or single


def require_no_coding(request: Mapping[str, str]) -> None:
    """See to it that the body was sent as it is. RFC 9110, section 8.4.

    Raises:
        ContentCodingError: it was compressed, or so its headers say.
    """
    codings = request.get("content-encoding", "").strip()
    if codings.lower() not in ("", "identity"):
        raise ContentCodingError(
            f"The body must be sent without Content-Encoding: {codings[:100]} is not read here.",
            target="Content-Encoding",
        )


def is_secure(request: Mapping[str, str]) -> bool:
    """Say whether the client spoke TLS to the first of the servers that the request came through.

    Each may have added what was spoken to it: behind a proxy the header is ``https, http``.
    """
    return request.get("x-forwarded-proto", "").partition(",")[0].strip().lower() == "https"


def protecting(request: Mapping[str, str]) -> dict[str, str]:
    """Return what every answer says, so that browsers neither keep nor misread it."""
    return _ALWAYS | (_TLS_ALONE if is_secure(request) else {})


def for_origin(origins: str, request: Mapping[str, str]) -> dict[str, str]:
    """Return what lets a page of the request's origin read the answer; nothing where it may not.

    Args:
        origins: that may, with commas between, or ``*`` for any.
        request: its headers.

    https://fetch.spec.whatwg.org/#http-cors-protocol. No cookie is ever asked for: whoever has no
    token has nothing, wherever its page is from.
    """
    origin = request.get("origin", "")
    known = [each.strip() for each in origins.split(",")]
    if not origin or not (origins == "*" or origin in known):
        return {}
    said = {"Access-Control-Expose-Headers": _EXPOSED, "Vary": "Origin"}
    return said | {"Access-Control-Allow-Origin": "*" if origins == "*" else origin}


def preflight(method: str, request: Mapping[str, str]) -> dict[str, str] | None:
    """Return what a browser wants to know before it asks; None where it is no such question."""
    if method != "OPTIONS" or "access-control-request-method" not in request:
        return None
    return _PREFLIGHT
