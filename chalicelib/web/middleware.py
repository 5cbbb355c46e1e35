"""What is done for every request, whatever its route, and what is done for every run.

The framework calls each with the request, or the event of a schedule, and with what comes after it;
``app`` says in which order.
"""

from collections.abc import Callable, Sequence
from typing import Any

from chalice import Response
from chalice.app import Request

from chalicelib import telemetry
from chalicelib.errors import UnauthenticatedError
from chalicelib.settings import Settings
from chalicelib.web import headers
from chalicelib.web.request import odata_version
from chalicelib.web.response import answered

# What tells nothing but that the service lives, to whoever asks.
_OPEN = ("/health",)

GetResponse = Callable[[Request], Response]
Middleware = Callable[[Request, GetResponse], Response]


def name_the_request(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Let each line of the log name the run, and the request, that it belongs to."""
    if isinstance(event, Request):
        run, ids = event.lambda_context, {"request_id": event.context.get("requestId")}
    else:
        run, ids = event.context, {}
    telemetry.bind({"run_id": getattr(run, "aws_request_id", None), **ids})
    return get_response(event)


def one_error_shape(request: Request, get_response: GetResponse) -> Response:
    """Give the framework's own refusals (a method that a route does not have) our error shape."""
    response = get_response(request)
    body = response.body
    if response.status_code >= 400 and isinstance(body, dict) and "Code" in body:
        response.body = {
            "error": {"code": body["Code"].removesuffix("Error"), "message": body["Message"]}
        }
        response.headers.update(odata_version(request))
    response.headers = headers.protecting(request.headers) | response.headers
    return response


def for_browsers(settings: Callable[[], Settings]) -> Middleware:
    """Let pages of the origins that the stage names ask; a preflight has no token yet."""

    def middleware(request: Request, get_response: GetResponse) -> Response:
        def respond() -> Response:
            allowed = headers.for_origin(settings().cors_origins, request.headers)
            preflight = headers.preflight(request.method, request.headers)
            if allowed and preflight:
                return Response("", headers=allowed | preflight, status_code=204)
            response = get_response(request)
            response.headers.update(allowed)
            return response

        return answered(respond, request)

    return middleware


def whose_it_is(authenticate: Callable[[Sequence[str]], object]) -> Middleware:
    """Let nobody in without a token, whatever the route: ``request.principal`` is whose it is.

    ``authenticate`` returns whom the values of the Authorization headers speak for, or raises.
    """

    def middleware(request: Request, get_response: GetResponse) -> Response:
        def respond() -> Response:
            try:
                request.principal = authenticate(headers.authorizations(request._event_dict))
            except UnauthenticatedError as error:
                if error.is_invalid or request.path not in _OPEN:
                    raise
                request.principal = None
            return get_response(request)

        return answered(respond, request)

    return middleware
