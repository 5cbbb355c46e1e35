"""Routes and schedules, nothing else: decode, call one step, encode.

Every function of the deployment imports this module, and intake must start fast: what only other
handlers need, ``container`` imports when they ask for it.
"""

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from chalice import Chalice, Rate, Response
from chalice.app import CloudWatchEvent, MultiDict, Request

from chalicelib import container, headers, telemetry
from chalicelib.error_answer import body_of, headers_of, our_fault, status_of
from chalicelib.errors import (
    InvalidError,
    MediaTypeError,
    MisconfiguredError,
    PunchClockError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.intake import Accepted, as_awaiting
from chalicelib.principal import Role

app = Chalice(app_name="punch-clock")

EVERY_MINUTE = Rate(1, unit=Rate.MINUTES)
EVERY_HOUR = Rate(1, unit=Rate.HOURS)

# What tells nothing but that the service lives, to whoever asks.
_OPEN = ("/health",)
_JSON = {"Content-Type": "application/json"}
# API Gateway refuses a method without a route by a shape of its own, so OData has a route for each.
_ODATA_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


def answers(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Turn what a handler raises into an answer of the one error shape."""

    @wraps(handler)
    def answered(*args: str, **named: str) -> Response:
        try:
            return handler(*args, **named)
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
            return _error_response(error)
        except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, told to nobody
            telemetry.error("a request failed", error, path=app.current_request.path)
            return _error_response(our_fault())

    return answered


@app.middleware("all")
def name_the_request(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Let each line of the log name the run, and the request, that it belongs to."""
    if isinstance(event, Request):
        run, ids = event.lambda_context, {"request_id": event.context.get("requestId")}
    else:
        run, ids = event.context, {}
    telemetry.bind({"run_id": getattr(run, "aws_request_id", None), **ids})
    return get_response(event)


@app.middleware("http")
def one_error_shape(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Give the framework's own refusals (a method that a route does not have) our error shape."""
    response = get_response(request)
    body = response.body
    if response.status_code >= 400 and isinstance(body, dict) and "Code" in body:
        response.body = {
            "error": {"code": body["Code"].removesuffix("Error"), "message": body["Message"]}
        }
        response.headers.update(_odata_version(request))
    response.headers = headers.protecting(request.headers) | response.headers
    return response


@app.middleware("http")
def for_browsers(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Let pages of the origins that the stage names ask; a preflight has no token yet."""

    @answers
    def answered() -> Response:
        allowed = headers.for_origin(container.settings().cors_origins, request.headers)
        preflight = headers.preflight(request.method, request.headers)
        if allowed and preflight:
            return Response("", headers=allowed | preflight, status_code=204)
        response = get_response(request)
        response.headers.update(allowed)
        return response

    return answered()


@app.middleware("http")
def whose_it_is(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Let nobody in without a token, whatever the route: ``request.principal`` is whose it is."""

    @answers
    def answered() -> Response:
        authenticator = container.authenticator()
        try:
            request.principal = authenticator.authenticate(
                headers.authorizations(request._event_dict)
            )
        except UnauthenticatedError as error:
            if error.is_invalid or request.path not in _OPEN:
                raise
            request.principal = None
        return get_response(request)

    return answered()


@app.route("/point-record", methods=["POST"], content_types=["*/*"])
@answers
def post_point_record() -> Response:
    """Step 1: accept the punch of a JSON object, or each punch of a JSON array."""
    request = app.current_request
    _require_json(request)
    accepted = container.intake().accept(request.raw_body, request.principal)
    if isinstance(accepted, list):
        return _response(207, [_item(each) for each in accepted])
    record = as_awaiting(accepted.record)
    location = f"{_base_url(request)}/point-record/{record['id']}"
    return _response(201 if accepted.created else 200, record, {"Location": location})


@app.route("/point-record/{record_id}", methods=["GET"])
@answers
def get_point_record(record_id: str) -> Response:
    """Read one record wherever it is on its way, also right after it was accepted."""
    try:
        canonical = str(uuid.UUID(record_id))
    except ValueError as error:
        raise InvalidError("The id of a point record is a UUID.", target="id") from error
    found = container.find(canonical, app.current_request.principal)
    return _response(200, found if isinstance(found, str) else as_awaiting(found))


@app.route("/point-record", methods=["OPTIONS"])
@app.route("/point-record/{record_id}", methods=["OPTIONS"])
@answers
def get_options(record_id: str = "") -> Response:
    """Tell the methods of a route; what browsers ask before they ask, ``for_browsers`` answers."""
    del record_id
    allowed = ", ".join(app.routes[app.current_request.path])
    return Response("", headers={"Allow": allowed}, status_code=204)


@app.route("/health", methods=["GET"])
@answers
def get_health() -> Response:
    """Tell that the service lives, and the operator the depth and age of each stage."""
    principal = app.current_request.principal
    if principal is None or principal.role is not Role.INTEGRATION:
        return _response(200, {"status": "ok"})
    return _response(200, container.stages())


@app.route("/odata", methods=_ODATA_METHODS, content_types=["*/*"])
@app.route("/odata/{resource}", methods=_ODATA_METHODS, content_types=["*/*"])
@app.route("/odata/{resource}/{property}", methods=_ODATA_METHODS, content_types=["*/*"])
@app.route("/odata/{resource}/{property}/{third}", methods=_ODATA_METHODS, content_types=["*/*"])
@app.route(
    "/odata/{resource}/{property}/{third}/{fourth}", methods=_ODATA_METHODS, content_types=["*/*"]
)
@app.route(
    "/odata/{resource}/{property}/{third}/{fourth}/{fifth}",
    methods=_ODATA_METHODS,
    content_types=["*/*"],
)
@answers
def serve_odata(**segments: str) -> Response:
    """Step 4: answer an OData request."""
    from chalicelib.odata.service import ODataRequest  # noqa: PLC0415 - the grammar is not intake's

    request = app.current_request
    query = request.query_params or MultiDict({})
    answer = container.odata().answer(
        ODataRequest(
            principal=request.principal,
            service_root=f"{_base_url(request)}/odata",
            path="/".join(segments.values()),
            query=[(name, value) for name in query for value in query.getlist(name)],
            headers={name.lower(): value for name, value in request.headers.items()},
            method=request.method,
            body=request.raw_body,
        )
    )
    return Response(answer.body, headers=dict(answer.headers), status_code=answer.status)


@app.schedule(EVERY_MINUTE)
def replicate(event: CloudWatchEvent) -> None:
    """Step 2: bring the buffer to the replica."""
    container.replicator().run(_remaining_s(event.context))


@app.schedule(EVERY_MINUTE)
def integrate(event: CloudWatchEvent) -> None:
    """Step 3: bring what is due to the legacy."""
    container.integrator_run().run(_remaining_s(event.context))


@app.schedule(EVERY_HOUR)
def reconcile(event: CloudWatchEvent) -> dict[str, Any]:
    """Prove that all that was accepted in the last two hours is somewhere; returns what was found.

    Each hour is looked at twice, so that none is missed where one run fails or the log is late.
    """
    del event
    until = datetime.now(UTC)
    return asdict(container.reconcile(until - 2 * timedelta(hours=1), until))


@app.schedule(EVERY_MINUTE)
def observe(event: CloudWatchEvent) -> None:
    """Write the depth and age of each stage as metrics, also while no step runs."""
    del event
    container.observe()


@app.lambda_function()
def intake(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Step 1 as a function of its own, so that no query can take its place.

    API Gateway hands it ``POST /point-record``; all else goes to the function of the routes.
    """
    answer: dict[str, Any] = app(event, context)
    return answer


@app.lambda_function()
def release(event: dict[str, Any], context: Any) -> str | list[dict[str, Any]]:
    """Send an item of the quarantine on its way, as it is or as ``record`` says it should be.

    ``{"quarantineId": 7, "record": {…}, "by": "Ada"}``; without an id, list the quarantine.
    """
    del context
    if "quarantineId" not in event:
        return container.quarantined()
    return container.release(
        int(event["quarantineId"]), event.get("record"), str(event.get("by", ""))
    )


@app.lambda_function()
def replay(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Have parked records go again: ``{"filter": "employerId eq 121", "by": "Ada"}``.

    Returns how many, and whether more are left for which the time was not enough.
    """
    found = container.replay(
        str(event.get("filter", "")), str(event.get("by", "")), _remaining_s(context)
    )
    return asdict(found)


@app.lambda_function()
def migrate(event: dict[str, Any], context: Any) -> list[str]:
    """Bring the database to the newest schema; returns the names of what was applied."""
    del event, context
    return container.migrate()


def _remaining_s(context: Any) -> Callable[[], float]:
    return lambda: context.get_remaining_time_in_millis() / 1000


def _require_json(request: Request) -> None:
    media_type = request.headers.get("content-type", "application/json").lower()
    kind, *parameters = (part.strip() for part in media_type.split(";"))
    charsets = {each for each in parameters if each.startswith("charset=")}
    if kind != "application/json" or charsets - {"charset=utf-8", 'charset="utf-8"'}:
        raise MediaTypeError("The body must be sent as Content-Type: application/json, in UTF-8.")


def _base_url(request: Request) -> str:
    """Return the URL under which the client reached the service, a stage's prefix included."""
    scheme = request.headers.get("x-forwarded-proto", "http")
    path: str = request.context["path"]
    prefix = path.rstrip("/").rsplit("/", request.path.count("/"))[0]
    return f"{scheme}://{request.headers.get('host', 'localhost')}{prefix}"


def _item(result: Accepted | PunchClockError) -> dict[str, Any]:
    if isinstance(result, PunchClockError):
        return {"status": status_of(result), **body_of(result)}
    return {"status": 201 if result.created else 200, "record": as_awaiting(result.record)}


def _odata_version(request: Request) -> dict[str, str]:
    """Return the header that every answer under /odata has, errors included."""
    if not request.path.startswith("/odata"):
        return {}
    most = request.headers.get("odata-maxversion", "").strip()
    return {"OData-Version": "4.0" if most == "4.0" else "4.01"}


def _error_response(error: PunchClockError) -> Response:
    said = headers_of(error) | _odata_version(app.current_request)
    return _response(status_of(error), body_of(error), said)


def _response(status_code: int, body: object, said: dict[str, str] | None = None) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(text, headers={**_JSON, **(said or {})}, status_code=status_code)
