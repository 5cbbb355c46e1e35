"""Build the responses of the routes: JSON, and one error format for every exception."""

import json
from collections.abc import Callable

from chalice import Response
from chalice.app import Request

from chalicelib import telemetry
from chalicelib.error_response import error_body, log_server_error
from chalicelib.errors import InternalError, PunchClockError
from chalicelib.web.request_checks import odata_version

_JSON = {"Content-Type": "application/json"}


def json_response(
    status_code: int, body: object, headers: dict[str, str] | None = None
) -> Response:
    """Build a JSON response. A string is sent as it is; it must be JSON text already."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(text, headers={**_JSON, **(headers or {})}, status_code=status_code)


def respond_safely(respond: Callable[[], Response], request: Request) -> Response:
    """Return the response that ``respond`` returns, or an error response if it raises."""
    try:
        return respond()
    except PunchClockError as error:
        log_server_error(error)
        return _error_response(error, request)
    except Exception as error:  # noqa: BLE001 - the client gets no details of an internal error
        telemetry.error("a request failed", error, path=request.path)
        return _error_response(InternalError(), request)


def _error_response(error: PunchClockError, request: Request) -> Response:
    headers = error.headers | odata_version(request)
    return json_response(error.http_status, error_body(error), headers)
