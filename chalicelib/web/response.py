"""What the routes answer: JSON, and the one error shape for whatever is raised."""

import json
import logging
from collections.abc import Callable

from chalice import Response
from chalice.app import Request

from chalicelib import telemetry
from chalicelib.errors import MisconfiguredError, PunchClockError, UnavailableError
from chalicelib.web.error_response import body_of, headers_of, our_fault, status_of
from chalicelib.web.request import odata_version

_JSON = {"Content-Type": "application/json"}


def json_response(
    status_code: int, body: object, headers: dict[str, str] | None = None
) -> Response:
    """Answer with a body: JSON text as it is, all else written as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(text, headers={**_JSON, **(headers or {})}, status_code=status_code)


def answered(respond: Callable[[], Response], request: Request) -> Response:
    """Return what ``respond`` returns, or the error answer to what it raises."""
    try:
        return respond()
    except PunchClockError as error:
        if isinstance(error, UnavailableError):
            # One line: in an outage there are as many as there are phones.
            telemetry.event("a store is unavailable", logging.WARNING, cause=error.__cause__)
        elif isinstance(error, MisconfiguredError):
            telemetry.event(
                "the stage is misconfigured",
                logging.ERROR,
                fault=error.message,
                cause=error.__cause__,
            )
        return _error_response(error, request)
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, told to nobody
        telemetry.error("a request failed", error, path=request.path)
        return _error_response(our_fault(), request)


def _error_response(error: PunchClockError, request: Request) -> Response:
    headers = headers_of(error) | odata_version(request)
    return json_response(status_of(error), body_of(error), headers)
