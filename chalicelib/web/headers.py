"""Read the request headers that tell client, origin and scheme; build the ones for browsers."""

from collections.abc import Mapping
from typing import Any

# One year. Browsers ignore it over plain HTTP, so it is not sent there: RFC 6797, section 7.2.
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}
# A response is private to its caller: no cache keeps it, and no browser renders it as a page.
_SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    # What the service reads, and what UI5 and other libraries send besides: a browser sends no
    # request with a header that is missing here.
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, DataServiceVersion,"
    " If-Match, If-None-Match, Isolation, MaxDataServiceVersion, MIME-Version, OData-Isolation,"
    " OData-MaxVersion, OData-Version, Prefer, sap-cancel-on-close, sap-contextid-accept,"
    " X-CSRF-Token, X-Requested-With",
    "Access-Control-Max-Age": "600",
}
# The headers that OData reads as lists.
LIST_HEADERS = frozenset({"accept", "if-match", "if-none-match", "prefer"})
# A page learns from Date how wrong the clock of its device is: docs/phones.md.
_EXPOSED = (
    "Date, ETag, Location, OData-EntityId, OData-Version, Preference-Applied, Retry-After,"
    " WWW-Authenticate"
)

# The headers of API Gateway's own error responses (throttled, too large). They allow any origin,
# regardless of CORS_ORIGINS: these responses have no private data, and a browser app must see them.
GATEWAY_ERROR_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Date, Retry-After",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def values_of(name: str, event: Mapping[str, Any]) -> list[str]:
    """Return the values of a header of an API Gateway event, one for each of its lines.

    API Gateway keeps all values of a repeated header in ``multiValueHeaders`` only.

    Args:
        name: in lower case.
        event: the event.
    """
    repeated = event.get("multiValueHeaders") or {}
    values = [value for each in repeated if each.lower() == name for value in repeated[each]]
    single = event.get("headers") or {}
    return values or [value for each, value in single.items() if each.lower() == name]


def odata_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of an API Gateway event by their names in lower case.

    The lines of a repeated list are one list: RFC 9110, section 5.3. Of any other repeated header
    the last value counts.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    lists = {name: ", ".join(values_of(name, event)) for name in headers.keys() & LIST_HEADERS}
    return headers | lists


def is_secure(request: Mapping[str, str]) -> bool:
    """Return whether the client used TLS to the first server that received the request.

    Each proxy may append the scheme that it received: behind one, the header is ``https, http``.
    """
    return request.get("x-forwarded-proto", "").partition(",")[0].strip().lower() == "https"


def is_of_script(request: Mapping[str, str]) -> bool:
    """Return whether a script of a page sent the request: https://www.w3.org/TR/fetch-metadata/."""
    return request.get("sec-fetch-mode", "navigate").strip().lower() != "navigate"


def security_headers(request: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of every response that keep browsers from caching or rendering it."""
    return _SECURITY | (_HSTS if is_secure(request) else {})


def cors_headers(origins: str, request: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that let a page of the request's origin read the response.

    Without an Origin header, or for an origin that is not allowed, return no headers. Credentials
    mode is not allowed: the service uses tokens and no cookies, so a page needs a token anyway.
    https://fetch.spec.whatwg.org/#http-cors-protocol

    Args:
        origins: the allowed origins, separated by commas, or ``*`` for any.
        request: the request headers.
    """
    origin = request.get("origin", "")
    allowed = [each.strip() for each in origins.split(",")]
    if not origin or not (origins == "*" or origin in allowed):
        return {}
    return {
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
        "Access-Control-Allow-Origin": "*" if origins == "*" else origin,
    }


def preflight_headers(method: str, request: Mapping[str, str]) -> dict[str, str] | None:
    """Return the headers that answer a CORS preflight; None if the request is not a preflight."""
    if method != "OPTIONS" or "access-control-request-method" not in request:
        return None
    return _PREFLIGHT
