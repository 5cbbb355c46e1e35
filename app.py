"""Define the routes, schedules and functions: decode the input, call one step, encode the result.

Every deployed function imports this module, and intake must start fast. What only other handlers
need is therefore imported on first use: here, or by ``container``.
"""

# ruff: noqa: PLC0415

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import wraps
from typing import Any

from chalice import Chalice, Rate, Response
from chalice.app import CloudWatchEvent, MultiDict, Request

from chalicelib import container, operator_commands
from chalicelib.error_response import error_body
from chalicelib.errors import InvalidError, PunchClockError
from chalicelib.intake import Accepted, as_awaiting
from chalicelib.principal import Principal, Role
from chalicelib.web import middleware
from chalicelib.web.headers import odata_headers
from chalicelib.web.json_response import json_response, respond_safely
from chalicelib.web.request_checks import base_url, require_intent, require_json

app = Chalice(app_name="punch-clock")

EVERY_MINUTE = Rate(1, unit=Rate.MINUTES)
EVERY_FIVE_MINUTES = Rate(5, unit=Rate.MINUTES)
EVERY_HOUR = Rate(1, unit=Rate.HOURS)

# For a method without a route, API Gateway responds in an error format of its own. So every OData
# route takes every method.
_ODATA_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]

Event = dict[str, Any]
SecondsLeft = Callable[[], float]
Answer = tuple[Any, dict[str, Any]]
"""The result of an operator's command, and the fields of its audit event."""

# From the outermost to the innermost.
app.register_middleware(middleware.bind_request_id, "all")
app.register_middleware(middleware.failed_run, "scheduled")
app.register_middleware(middleware.error_envelope, "http")
app.register_middleware(middleware.cors(container.settings), "http")
app.register_middleware(middleware.authenticate(container.authenticate), "http")


def handle_errors(handler: Callable[..., Response]) -> Callable[..., Response]:
    """Turn an exception of a handler into an error response."""

    @wraps(handler)
    def respond(*args: str, **named: str) -> Response:
        return respond_safely(lambda: handler(*args, **named), app.current_request)

    return respond


@app.route("/point-record", methods=["POST"], content_types=["*/*"])
@handle_errors
def post_point_record() -> Response:
    """Step 1: accept one punch, from a JSON object, or several, from a JSON array."""
    request = app.current_request
    require_json(request)
    accepted = container.intake().accept(request.raw_body, request.principal)
    if isinstance(accepted, list):
        return json_response(207, [_item(each) for each in accepted])
    record = as_awaiting(accepted.record)
    location = f"{_public_url(request)}/point-record/{record['id']}"
    if accepted.evidence:
        record["evidence"] = accepted.evidence
    return json_response(201 if accepted.created else 200, record, {"Location": location})


@app.route("/point-record/{record_id}", methods=["GET"])
@handle_errors
def get_point_record(record_id: str) -> Response:
    """Return one record, from the buffer or from Postgres."""
    try:
        canonical = str(uuid.UUID(record_id))
    except ValueError as error:
        raise InvalidError("The id of a point record must be a UUID.", target="id") from error
    record = container.find(canonical, app.current_request.principal)
    return json_response(200, record if isinstance(record, str) else as_awaiting(record))


@app.route("/point-record", methods=["OPTIONS"])
@app.route("/point-record/{record_id}", methods=["OPTIONS"])
@app.route("/operations/{name}", methods=["OPTIONS"])
@handle_errors
def get_options(**segments: str) -> Response:
    """Return the methods of a route. CORS preflights end in the ``cors`` middleware already."""
    del segments
    allowed = ", ".join(app.routes[app.current_request.path])
    return Response("", headers={"Allow": allowed}, status_code=204)


@app.route("/health", methods=["GET"])
@handle_errors
def get_health() -> Response:
    """Return that the service runs; to the operator, also the depth and age of each stage."""
    principal = app.current_request.principal
    if principal is None or principal.role is not Role.INTEGRATION:
        return json_response(200, {"status": "ok"})
    return json_response(200, container.stages(with_flow=True))


@app.route("/openapi.json", methods=["GET"])
@handle_errors
def get_openapi() -> Response:
    """Return the description of the routes other than OData, as OpenAPI 3.1."""
    return json_response(200, container.openapi())


@app.route("/operations/{name}", methods=["POST"], content_types=["*/*"])
@handle_errors
def post_operation(name: str) -> Response:
    """Run an operator's command, such as ``replay``; ``operator_requests`` has all."""
    from chalicelib import operator_route

    request = app.current_request
    require_json(request)
    require_intent(request)
    return json_response(200, operator_route.respond(name, request.raw_body, request.principal))


@app.route("/console", methods=["GET"])
@handle_errors
def get_console() -> Response:
    """Return the page of the web console."""
    from chalicelib.console import console_files

    request = app.current_request
    if request.context["path"].endswith("/"):  # the page's links are relative to /console
        return Response("", headers={"Location": "../console"}, status_code=308)
    known = request.headers.get("if-none-match", "")
    page = console_files.page(known, container.settings())
    return Response(page.body, headers=page.headers, status_code=page.status)


@app.route("/console/config.json", methods=["GET"])
@handle_errors
def get_console_configuration() -> Response:
    """Return what the web console must know of the stage."""
    from chalicelib.console import console_files

    return json_response(200, console_files.configuration(container.settings()))


@app.route("/console/{version}/{name}", methods=["GET"])
@handle_errors
def get_console_file(version: str, name: str) -> Response:
    """Return a file that the page of the web console refers to."""
    from chalicelib.console import console_files

    known = app.current_request.headers.get("if-none-match", "")
    file = console_files.file(version, name, known)
    return Response(file.body, headers=file.headers, status_code=file.status)


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
@handle_errors
def serve_odata(**segments: str) -> Response:
    """Step 4: respond to an OData request."""
    from chalicelib.odata.request import ODataRequest

    request = app.current_request
    query = request.query_params or MultiDict({})
    response = container.odata().respond(
        ODataRequest(
            principal=request.principal,
            service_root=f"{_public_url(request)}/odata",
            request_root=f"{base_url(request)}/odata",
            path="/".join(segments.values()),
            query=[(name, value) for name in query for value in query.getlist(name)],
            headers=odata_headers(request._event_dict),
            method=request.method,
            body=request.raw_body,
        )
    )
    return Response(response.body, headers=dict(response.headers), status_code=response.status)


@app.schedule(EVERY_MINUTE)
def replicate(event: CloudWatchEvent) -> None:
    """Step 2: move the buffered records to Postgres, and what is delivered to the journal.

    On AWS further runs start each minute with the detail ``{"helps": true}``. They end at once,
    unless the buffer is deep.
    """
    from chalicelib import schedules

    # EventBridge Scheduler, unlike a rule, sends the detail as a text.
    helps = isinstance(event.detail, dict) and bool(event.detail.get("helps"))
    schedules.replicate(_remaining_s(event.context), helps=helps)


@app.schedule(EVERY_MINUTE)
def integrate(event: CloudWatchEvent) -> None:
    """Step 3: send the records that are due to the legacy system."""
    from chalicelib import schedules

    schedules.integrate(_remaining_s(event.context))


@app.schedule(EVERY_HOUR)
def reconcile(event: CloudWatchEvent) -> None:
    """Check that every record accepted in the last two hours is still stored, and log the result.

    Two runs check each hour, so that a failed run or a late log misses no record. Then drop the
    months that are older than the retention.
    """
    from chalicelib import schedules

    del event
    try:
        schedules.reconcile()
    finally:
        schedules.end_retention()


@app.schedule(EVERY_MINUTE)
def observe(event: CloudWatchEvent) -> None:
    """Log the depth and age of each stage as metrics, even when no step runs."""
    from chalicelib import schedules

    del event
    schedules.observe()


@app.schedule(EVERY_FIVE_MINUTES, name="store-keys")
def store_keys(event: CloudWatchEvent) -> None:
    """Copy the issuer's keys to the table that processes read them from at their start."""
    from chalicelib import schedules

    del event
    schedules.store_keys()


@app.lambda_function()
def intake(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Step 1 as a separate function, so that queries cannot use up its concurrency.

    API Gateway sends it ``POST /point-record`` and the CORS preflights before it. Other requests go
    to the function of the routes.
    """
    response: dict[str, Any] = app(event, context)
    return response


def operator_command(
    *members: str, redacted: Sequence[str] = (), name: str | None = None
) -> Callable[[Callable[..., Answer]], Any]:
    """Register a command as a Lambda function that only operators may run.

    The function has no route. ``operator_commands.perform`` authenticates the operator and audits
    the run.

    Args:
        members: the members of the event that the command reads and the audit log shows.
        redacted: further members, which the audit log must not show.
        name: the name of the function; by default that of the command.
    """

    def register(command: Callable[..., Answer]) -> Any:
        function_name = name or command.__name__

        @app.lambda_function(name=function_name)
        @wraps(command)
        def invoke(event: Any, context: Any) -> Any:
            return operator_commands.perform(
                function_name,
                event,
                lambda operator: command(event, operator, _remaining_s(context)),
                members=members,
                redacted=redacted,
            )

        return invoke

    return register


@operator_command("quarantineId", redacted=["record"])
def release(event: Event, *_: Any) -> Answer:
    """Return a quarantined item to the pipeline, unchanged or replaced by a corrected record.

    ``{"quarantineId": 7, "record": {…}}``. With neither member, list the quarantined items.
    """
    if "quarantineId" not in event and "record" not in event:
        items = operator_commands.quarantined()
        return items, {"listed": len(items)}
    released = operator_commands.release(event.get("quarantineId"), event.get("record"))
    return released.id, asdict(released)


@operator_command("filter")
def replay(event: Event, operator: Principal, remaining_s: SecondsLeft) -> Answer:
    """Return parked records to the queue: ``{"filter": "employerId eq 121"}``.

    The result has the number of records, and whether the time ran out before the last one.
    """
    replayed = operator_commands.replay(event.get("filter"), operator, remaining_s)
    result = {"replayed": replayed.replayed, "more": replayed.more}
    return result, result


@operator_command("since", "until", name="reconcile-period")
def reconcile_period(event: Event, *_: Any) -> Answer:
    """Check every record accepted in a period: ``{"since": "2026-11-22T08:00:00Z"}``, until now.

    The result has the counts, the first ids that are missing or unlogged, and whether there are
    more.
    """
    result = operator_commands.reconcile_period(event.get("since"), event.get("until"))
    return result.answer(), result.counts


@operator_command("since", "cursor")
def restore(event: Event, _: Principal, remaining_s: SecondsLeft) -> Answer:
    """Put back what Postgres has lost, from the journal: ``{"since": "2026-11-22T08:00:00Z"}``.

    If the result has a ``cursor``, the time ran out: send it together with the same ``since``.
    """
    result = asdict(operator_commands.restore(event.get("since"), event.get("cursor"), remaining_s))
    return result, result


@operator_command("employer", "employee", "punches", "cursor")
def erase(event: Event, _: Principal, remaining_s: SecondsLeft) -> Answer:
    """Erase a person's evidence in every store: ``{"employer": 121, "employee": 7}``.

    With ``"punches": true`` also the punches that have been settled for an hour. If the result has
    a ``cursor``, the time ran out: send it together with the same members.
    """
    person = event.get("employer"), event.get("employee")
    erased = operator_commands.erase(
        *person, event.get("punches"), event.get("cursor"), remaining_s
    )
    result = asdict(erased)
    return result, result


@operator_command("employer", "employee", "format", "cursor")
def export(event: Event, *_: Any) -> Answer:
    """Return one page of a person's data: ``{"employer": 121, "employee": 7, "format": "csv"}``."""
    person = event.get("employer"), event.get("employee")
    result = operator_commands.export(*person, event.get("format"), event.get("cursor"))
    return result.answer(), result.counts


@operator_command("send", redacted=["record", "response"], name="legacy-check")
def legacy_check(event: Event, *_: Any) -> Answer:
    """Show the request for a record, and judge the response in the event: ``{"response": "…"}``.

    ``{"send": true}`` sends the record and judges the legacy's own response.
    """
    result = operator_commands.check_legacy(event)
    return asdict(result), {"outcome": result.outcome, "decidedBy": result.decided_by}


@operator_command(
    "name", "employerId", "employeeId", "days", "revoke", "before", name="access-keys"
)
def access_keys(event: Event, operator: Principal, *_: Any) -> Answer:
    """Make an access key for a report: ``{"name": "payroll", "employerId": 121, "days": 365}``.

    The result is the only place that ever shows the key. ``{"revoke": 7}`` revokes a key at once.
    With no member, list the last thousand keys; ``{"before": 7}`` lists those with smaller ids.
    """
    return operator_commands.manage_access_keys(event, operator)


@operator_command()
def migrate(*_: Any) -> Answer:
    """Apply every new migration to the database, and return their names."""
    applied = operator_commands.migrate()
    return applied, {"applied": applied}


def _remaining_s(context: Any) -> SecondsLeft:
    return lambda: context.get_remaining_time_in_millis() / 1000


def _public_url(request: Request) -> str:
    return base_url(request, container.settings().public_url)


def _item(result: Accepted | PunchClockError) -> dict[str, Any]:
    """Return the entry of one array item in a 207 response."""
    if isinstance(result, PunchClockError):
        return {"status": result.http_status, **error_body(result)}
    item = {"status": 201 if result.created else 200, "record": as_awaiting(result.record)}
    return item | ({"evidence": result.evidence} if result.evidence else {})
