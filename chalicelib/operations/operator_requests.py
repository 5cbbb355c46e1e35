"""Answer ``POST /operations/…``: the commands of operators as requests, for the web console.

Each is the audited action that the function of the same purpose is. It ends in time for the
response of API Gateway: a long one returns a ``cursor``, with which the next request continues.
Members of requests and responses are in camel case, as in the other routes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib.errors import InvalidError, MalformedError, NotFoundError, TooLargeError
from chalicelib.instant import to_text
from chalicelib.operations.audited_command import LogFields, perform_request
from chalicelib.operations.manage_access_keys import MEMBERS as KEY_MEMBERS
from chalicelib.operations.manage_access_keys import is_listing
from chalicelib.operations.quarantine import Release
from chalicelib.operations.reconcile_steps import Step
from chalicelib.operations.replay import Replay
from chalicelib.point_record import MAX_INT64
from chalicelib.principal import Principal
from chalicelib.strict_json import load_json

_MAX_BODY_BYTES = 65_536
# Ids of missing records in one response. The log of the service has more.
_MAX_IDS = 100

Command = Mapping[str, Any]


class Actions(Protocol):
    """What the commands do, each in bounded time; ``operator_route`` wires them."""

    def replay(self, text: object, by: Principal, cursor: object) -> Replay:
        """Return parked records to the queue; see ``replay.replay``."""

    def quarantined(self, before: int) -> list[dict[str, Any]]:
        """List the quarantined items whose ids are smaller than one."""

    def release(self, quarantine_id: object, record: Mapping[str, Any] | None) -> Release:
        """Release a quarantined item; see ``quarantine.release``."""

    def reconcile(self, since: object, until: object, cursor: object) -> Step:
        """Reconcile the next part of a period; see ``reconcile_steps.step``."""

    def manage_access_keys(self, command: Command, by: Principal) -> tuple[Any, LogFields]:
        """Make, list or revoke access keys; see ``manage_access_keys.manage``."""


def _always(_: Command) -> bool:
    return True


def _never(_: Command) -> bool:
    return False


def _unless_listing(command: Command) -> bool:
    return not is_listing(command)


@dataclass(frozen=True, slots=True)
class _Operation:
    """A command: its name in the log, its members, and what it does."""

    action: str
    act: Callable[[Actions, Principal, Command], tuple[object, LogFields]]
    members: tuple[str, ...]
    redacted: tuple[str, ...] = ()
    needs_comment: Callable[[Command], bool] = _always


def respond(name: str, body: bytes, by: Principal, actions: Actions) -> Any:
    """Run the command of a request and return its result, to be written as JSON.

    Args:
        name: the last segment of the path.
        body: the command: a JSON object with its members and a ``comment``.
        by: the principal of the request.
        actions: what the commands do.

    Raises:
        NotFoundError: there is no such command.
        ForbiddenError: the principal is not an operator.
        MalformedError: the body is not a JSON object.
        InvalidError: a member is missing, unknown or invalid; ``target`` names it.
        UnavailableError: a store cannot be reached; the same request is safe again.
    """
    operation = _OPERATIONS.get(name)
    if operation is None:
        raise NotFoundError(
            f"No operation has the name {name[:100]}. There are {', '.join(_OPERATIONS)}."
        )
    return perform_request(
        operation.action,
        by,
        lambda: _read(body),
        lambda operator, command: operation.act(actions, operator, command),
        members=operation.members,
        redacted=operation.redacted,
        needs_comment=operation.needs_comment,
    )


def _read(body: bytes) -> Command:
    if len(body) > _MAX_BODY_BYTES:
        raise TooLargeError(f"The body is longer than {_MAX_BODY_BYTES} bytes.")
    command = load_json(body)
    if not isinstance(command, dict):
        raise MalformedError("The body must be a JSON object with the members of the command.")
    return command


def _replay(actions: Actions, by: Principal, command: Command) -> tuple[object, LogFields]:
    result = actions.replay(command.get("filter"), by, command.get("cursor"))
    counts = {"replayed": result.replayed, "more": result.more}
    return counts | ({"cursor": result.cursor} if result.cursor else {}), counts


def _quarantine(actions: Actions, _: Principal, command: Command) -> tuple[object, LogFields]:
    before = command.get("before", MAX_INT64)
    if type(before) is not int or not 1 <= before <= MAX_INT64:
        raise InvalidError(
            "before must be the id of a quarantined item: a positive integer.", target="before"
        )
    items = [
        {
            "id": each["id"],
            "itemId": each["item_id"],
            "reason": each["reason"],
            "item": each["item"],
            "isCut": each["is_cut"],
            "quarantinedAt": each["quarantined_at"],
        }
        for each in actions.quarantined(before)
    ]
    return {"items": items}, {"listed": len(items)}


def _release(actions: Actions, _: Principal, command: Command) -> tuple[object, LogFields]:
    released = actions.release(command.get("quarantineId"), command.get("record"))
    result = {"id": released.id, "written": released.written}
    return result, result


def _reconcile(actions: Actions, _: Principal, command: Command) -> tuple[object, LogFields]:
    step = actions.reconcile(command.get("since"), command.get("until"), command.get("cursor"))
    counts = step.counts
    result: dict[str, object] = {
        "accepted": counts["accepted"],
        "inBuffer": counts["in_buffer"],
        "inPostgres": counts["in_postgres"],
        "inQuarantine": counts["in_quarantine"],
        "missing": counts["missing"],
        "missingIds": step.missing[:_MAX_IDS],
        "unlogged": counts["unlogged"],
        "unloggedIds": step.unlogged[:_MAX_IDS],
        "reached": to_text(step.reached),
        "more": step.cursor is not None,
    }
    return result | ({"cursor": step.cursor} if step.cursor else {}), counts


def _access_keys(actions: Actions, by: Principal, command: Command) -> tuple[object, LogFields]:
    result, fields = actions.manage_access_keys(command, by)
    return {"keys": result} if isinstance(result, list) else result, fields


_OPERATIONS = {
    "replay": _Operation("replay", _replay, ("filter", "cursor")),
    "quarantine": _Operation("release", _quarantine, ("before",), needs_comment=_never),
    "release": _Operation("release", _release, ("quarantineId",), redacted=("record",)),
    "reconcile": _Operation("reconcile-period", _reconcile, ("since", "until", "cursor")),
    "access-keys": _Operation(
        "access-keys", _access_keys, KEY_MEMBERS, needs_comment=_unless_listing
    ),
}
