"""Routes and schedules, nothing else: decode, call one step, encode.

Every function of the deployment imports this module, and intake must start fast: what only other
handlers need, ``container`` imports when they ask for it.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import wraps
from typing import Any

from chalice import Chalice, Rate, Response
from chalice.app import CloudWatchEvent, MultiDict

from chalicelib import container
from chalicelib.errors import InvalidError, PunchClockError
from chalicelib.intake import Accepted, as_awaiting
from chalicelib.principal import Principal, Role
from chalicelib.web import middleware
from chalicelib.web.error_response import body_of, status_of
from chalicelib.web.request import base_url, require_json
from chalicelib.web.response import answered, json_response

app = Chalice(app_name="punch-clock")

EVERY_MINUTE = Rate(1, unit=Rate.MINUTES)
EVERY_HOUR = Rate(1, unit=Rate.HOURS)

# API Gateway refuses a method without a route by a shape of its own, so OData has a route for each.
_ODATA_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]

# The first is the outermost.
app.register_middleware(middleware.name_the_request, "all")
app.register_middleware(middleware.one_error_shape, "http")
app.register_middleware(middleware.for_browsers(container.settings), "http")
app.register_middleware(middleware.whose_it_is(container.authenticate), "http")


def answers(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Turn what a handler raises into an answer of the one error shape."""

    @wraps(handler)
    def respond(*args: str, **named: str) -> Response:
        return answered(lambda: handler(*args, **named), app.current_request)

    return respond


@app.route("/point-record", methods=["POST"], content_types=["*/*"])
@answers
def post_point_record() -> Response:
    """Step 1: accept the punch of a JSON object, or each punch of a JSON array."""
    request = app.current_request
    require_json(request)
    accepted = container.intake().accept(request.raw_body, request.principal)
    if isinstance(accepted, list):
        return json_response(207, [_item(each) for each in accepted])
    record = as_awaiting(accepted.record)
    location = f"{base_url(request)}/point-record/{record['id']}"
    return json_response(201 if accepted.created else 200, record, {"Location": location})


@app.route("/point-record/{record_id}", methods=["GET"])
@answers
def get_point_record(record_id: str) -> Response:
    """Read one record wherever it is on its way, also right after it was accepted."""
    try:
        canonical = str(uuid.UUID(record_id))
    except ValueError as error:
        raise InvalidError("The id of a point record is a UUID.", target="id") from error
    found = container.find(canonical, app.current_request.principal)
    return json_response(200, found if isinstance(found, str) else as_awaiting(found))


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
        return json_response(200, {"status": "ok"})
    return json_response(200, container.stages())


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
    from chalicelib.odata.request import ODataRequest  # noqa: PLC0415 - the grammar is not intake's

    request = app.current_request
    query = request.query_params or MultiDict({})
    answer = container.odata().respond(
        ODataRequest(
            principal=request.principal,
            service_root=f"{base_url(request)}/odata",
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
def reconcile(event: CloudWatchEvent) -> None:
    """Prove that all that was accepted in the last two hours is somewhere; the log tells.

    Each hour is looked at twice, so that none is missed where one run fails or the log is late.
    """
    del event
    container.reconcile()


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


def by_operators(
    *members: str, redacted: Sequence[str] = (), name: str | None = None
) -> Callable[[Callable[..., tuple[Any, dict[str, Any]]]], Any]:
    """Make of an action a function that does it for operators alone; see ``container.perform``.

    It has no route. Its event is ``{"token": "…"}`` with the ``members`` that the action reads.
    """

    def registered(action: Callable[..., tuple[Any, dict[str, Any]]]) -> Any:
        known_as = name or action.__name__

        @app.lambda_function(name=known_as)
        @wraps(action)
        def invoked(event: Any, context: Any) -> Any:
            return container.perform(
                known_as,
                event,
                lambda by: action(event, by, _remaining_s(context)),
                members=members,
                redacted=redacted,
            )

        return invoked

    return registered


@by_operators("quarantineId", redacted=["record"])
def release(asked: dict[str, Any], *_: Any) -> tuple[str | list[dict[str, Any]], dict[str, Any]]:
    """Send an item of the quarantine on its way, as it is or as ``record`` says it should be.

    ``{"quarantineId": 7, "record": {…}}``; with neither, list the quarantine.
    """
    if "quarantineId" not in asked and "record" not in asked:
        items = container.quarantined()
        return items, {"listed": len(items)}
    found = container.release(asked.get("quarantineId"), asked.get("record"))
    return found.id, asdict(found)


@by_operators("filter")
def replay(
    asked: dict[str, Any], by: Principal, remaining_s: Callable[[], float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Have parked records go again: ``{"filter": "employerId eq 121"}``.

    Returns how many, and whether more are left for which the time was not enough.
    """
    found = asdict(container.replay(asked.get("filter"), by, remaining_s))
    return found, found


@by_operators("since", "until", name="reconcile-period")
def reconcile_period(asked: dict[str, Any], *_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Prove what ``reconcile`` does of a period: ``{"since": "2026-11-22T08:00:00Z"}`` until now.

    Returns what was found.
    """
    found = container.reconcile(asked.get("since"), asked.get("until"))
    return asdict(found), found.counts


@by_operators()
def migrate(*_: Any) -> tuple[list[str], dict[str, Any]]:
    """Bring the database to the newest schema; returns the names of what was applied."""
    applied = container.migrate()
    return applied, {"applied": applied}


def _remaining_s(context: Any) -> Callable[[], float]:
    return lambda: context.get_remaining_time_in_millis() / 1000


def _item(result: Accepted | PunchClockError) -> dict[str, Any]:
    if isinstance(result, PunchClockError):
        return {"status": status_of(result), **body_of(result)}
    return {"status": 201 if result.created else 200, "record": as_awaiting(result.record)}
