"""Wire the commands of operators for the route ``POST /operations/…``, each bounded in time.

Only the handler of the route imports this module.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from chalicelib import aws, container, operator_commands
from chalicelib.errors import NotFoundError
from chalicelib.operations import accepted_log, operator_requests, reconcile_steps, reconciler
from chalicelib.operations.audited_command import LogFields
from chalicelib.operations.quarantine import Release
from chalicelib.operations.replay import Replay
from chalicelib.postgres.connection import Database
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.principal import Principal

# A request of an operator returns after some 8 s of work and one more statement, which is before
# the timeouts of API Gateway and of the function, 29 s. A transaction may take four statements.
_REQUEST_S = 8.0
_STATEMENT_TIMEOUT_S = 4.0
_REPLAY_BATCH = 2_000
_LISTED_KEYS = 100


@cache
def request_database() -> Database:
    """Return the database of operators' requests, whose statements end in time for a response."""
    return container.connect_database("database_url", _STATEMENT_TIMEOUT_S)


class _Actions:
    """What a request may do; see ``operator_requests.Actions``.

    It uses no store before a command is called: until then, nobody has checked the operator.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + _REQUEST_S

    def replay(self, text: object, by: Principal, cursor: object) -> Replay:
        return operator_commands.replay(
            text,
            by,
            lambda: self._until - time.monotonic(),
            request_database(),
            batch=_REPLAY_BATCH,
            margin_s=0.0,
            cursor=cursor,
        )

    def quarantined(self, before: int) -> list[dict[str, Any]]:
        return operator_commands.quarantined(request_database(), before)

    def release(self, quarantine_id: object, record: Mapping[str, Any] | None) -> Release:
        return operator_commands.release(quarantine_id, record, request_database())

    def reconcile(self, since: object, until: object, cursor: object) -> reconcile_steps.Step:
        now = datetime.now(UTC)
        first, end = reconciler.period(since, until, now)
        return reconcile_steps.step(
            first,
            min(end, now),
            cursor,
            lambda first, end, check: accepted_log.accepted(
                container.settings().accepted_log, first, end, aws.logs, check
            ),
            container.buffered_items(),
            PointRecordStore(request_database()),
            _REQUEST_S,
        )

    def manage_access_keys(
        self, command: Mapping[str, Any], by: Principal
    ) -> tuple[Any, LogFields]:
        return operator_commands.manage_access_keys(
            command, by, request_database(), most=_LISTED_KEYS
        )


def respond(name: str, body: bytes, by: Principal) -> Any:
    """Run the command of an operator's request; see ``operator_requests.respond``.

    Raises:
        NotFoundError: the stage has no such routes.
    """
    if container.settings().operator_routes == "off":
        raise NotFoundError(
            "This stage has no routes for operators (OPERATOR_ROUTES=off). Invoke its functions:"
            " docs/operations.md."
        )
    return operator_requests.respond(name, body, by, _Actions())
