"""Write and log an error in the one way that all routes share, OData's included.

The status and the headers of an error are on its class: ``chalicelib.errors``.
"""

import logging
from typing import Any

from chalicelib import telemetry
from chalicelib.errors import MisconfiguredError, PunchClockError, UnavailableError


def error_body(error: PunchClockError) -> dict[str, Any]:
    """Return the error body, to be written as JSON: OData JSON Format 4.01, section 21."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.target:
        body["target"] = error.target
    if error.details:
        body["details"] = [
            {"code": each.code, "message": each.message, "target": each.target}
            for each in error.details
        ]
    return {"error": body}


def log_server_error(error: PunchClockError) -> None:
    """Log an error that an operator has to act on; ignore the others, which the client caused."""
    if isinstance(error, UnavailableError):
        # One line without a traceback: in an outage there are as many lines as phones.
        telemetry.event("a store is unavailable", logging.WARNING, cause=error.__cause__)
    elif isinstance(error, MisconfiguredError):
        telemetry.event(
            "the stage is misconfigured", logging.ERROR, fault=error.message, cause=error.__cause__
        )
