"""Define the middlewares of every request and every scheduled run.

Chalice calls each with the request (or the schedule's event) and the next handler. ``app``
registers them and decides their order.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from chalice import Response
from chalice.app import Request

from chalicelib import telemetry
from chalicelib.errors import PunchClockError, UnauthenticatedError
from chalicelib.settings import Settings
from chalicelib.web.headers import (
    cors_headers,
    is_of_script,
    preflight_headers,
    security_headers,
    values_of,
)
from chalicelib.web.json_response import respond_safely
from chalicelib.web.request_checks import odata_version, require_host

# Paths that work without a token. To an anonymous caller they show that the service runs, and what
# is published anyway.
_PUBLIC_PATHS = ("/health", "/openapi.json")

# Files without data. A browser loads them before it has a token.
_FILE_PATHS = ("/console", "/console/config.json", "/console/{version}/{name}")

GetResponse = Callable[[Request], Response]
Middleware = Callable[[Request, GetResponse], Response]


def bind_request_id(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Add the ids of the invocation and of the request to every line that it logs."""
    if isinstance(event, Request):
        run, ids = event.lambda_context, {"request_id": event.context.get("requestId")}
    else:
        run, ids = event.context, {}
    telemetry.bind({"run_id": getattr(run, "aws_request_id", None), **ids})
    return get_response(event)


def failed_run(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Log one line if a scheduled run fails as runs may, with its cause, and let the run fail.

    The runner of a schedule logs the traceback of an error, in some forty lines. The traceback says
    no more than the cause does, so this error has none.
    """
    try:
        return get_response(event)
    except PunchClockError as error:
        cause = error.__cause__
        telemetry.event(
            "a run failed",
            logging.ERROR,
            code=error.code,
            reason=error.message,
            cause=f"{type(cause).__name__}: {cause}" if cause else None,
        )
        raise error.with_traceback(None) from None


def error_envelope(request: Request, get_response: GetResponse) -> Response:
    """Rewrite Chalice's own errors in our error format, and add the security headers.

    Chalice's own errors are, for example, those of a method that a route does not support.
    """
    response = get_response(request)
    body = response.body
    if response.status_code >= 400 and isinstance(body, dict) and "Code" in body:
        response.body = {
            "error": {"code": body["Code"].removesuffix("Error"), "message": body["Message"]}
        }
        response.headers.update(odata_version(request))
    if request.method == "HEAD":
        response.body = ""  # RFC 9110, section 9.3.2
    response.headers = security_headers(request.headers) | response.headers
    return response


def cors(settings: Callable[[], Settings]) -> Middleware:
    """Answer preflights, and let pages of the origins in CORS_ORIGINS read responses.

    This middleware must run before ``authenticate``, because a preflight has no token.
    """

    def middleware(request: Request, get_response: GetResponse) -> Response:
        def respond() -> Response:
            allowed = cors_headers(settings().cors_origins, request.headers)
            preflight = preflight_headers(request.method, request.headers)
            if allowed and preflight:
                return Response("", headers=allowed | preflight, status_code=204)
            response = get_response(request)
            response.headers.update(allowed)
            return response

        return respond_safely(respond, request)

    return middleware


def authenticate(principal_of: Callable[[Sequence[str], str], object]) -> Middleware:
    """Reject requests without a valid token or Host, on every route; set ``request.principal``.

    The public paths work without a token, and not with an invalid one. No token is read for the
    files of the console.

    Args:
        principal_of: returns the principal for the values of the Authorization headers and the path
            of the route, or raises.
    """

    def middleware(request: Request, get_response: GetResponse) -> Response:
        def respond() -> Response:
            require_host(request)
            if request.path in _FILE_PATHS:
                request.principal = None
                return get_response(request)
            try:
                request.principal = principal_of(
                    values_of("authorization", request._event_dict), request.path
                )
            except UnauthenticatedError as error:
                error.offers_basic = not is_of_script(request.headers)
                if error.is_invalid or request.path not in _PUBLIC_PATHS:
                    raise
                request.principal = None
            return get_response(request)

        return respond_safely(respond, request)

    return middleware
