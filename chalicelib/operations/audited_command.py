"""Authorise an operator's command, run it, and write it to the audit log.

Invariants:

- Nothing is done and no store is read before the token has proved to be an operator's: a principal
  with the role ``integration`` and a name.
- The log has who sent which command and how it ended, at every ``LOG_LEVEL``. A command logs
  either ``refused``, or ``started`` before it runs and then ``done`` or ``failed``.

The authenticator checks the token, as it does for every route. A command comes as the event of a
function, with its token, or as an HTTP request, whose token the middleware has checked.
"""

import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from chalicelib import telemetry
from chalicelib.errors import ForbiddenError, InvalidError, PunchClockError, UnauthenticatedError
from chalicelib.principal import Principal, Role

_MAX_COMMENT = 200
_MAX_LOGGED_VALUE = 4_000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

LogFields = Mapping[str, object]
"""What the log shows of a command or its result: counts and names, no content of a record."""


def perform(
    action: str,
    event: object,
    principal_of: Callable[[str], Principal],
    act: Callable[[Principal], tuple[Any, LogFields]],
    *,
    members: Collection[str] = (),
    redacted: Collection[str] = (),
) -> Any:
    """Run the command of a function's event, and write it to the audit log.

    Args:
        action: the command's name in the log.
        event: the command: an object with a ``token``, optionally a ``comment`` for the log, and
            the command's own members.
        principal_of: returns the principal of a token; see ``Authenticator.authenticate_token``.
        act: runs the command for that principal; returns the result and the fields to log.
        members: the members that the event may have and the log shows.
        redacted: further members that the event may have and the log does not show.

    Returns:
        The result of ``act``.

    Raises:
        UnauthenticatedError: the token is missing or invalid.
        ForbiddenError: the token is of another role, or has no printable subject.
        InvalidError: the event has an unknown member, a text that cannot be stored, or an invalid
            comment.
        UnavailableError: the token cannot be checked now.
    """
    command = _as_object(event)
    return _run(
        action,
        lambda: principal_of(_token(command)),
        lambda: command,
        lambda by, _: act(by),
        members=("token", "comment", *members),
        logged=members,
        redacted=redacted,
        needs_comment=lambda _: False,
    )


def perform_request(
    action: str,
    by: Principal,
    read: Callable[[], Mapping[str, Any]],
    act: Callable[[Principal, Mapping[str, Any]], tuple[Any, LogFields]],
    *,
    members: Collection[str] = (),
    redacted: Collection[str] = (),
    needs_comment: Callable[[Mapping[str, Any]], bool],
) -> Any:
    """Run the command of an HTTP request, whose token is checked, and write it to the audit log.

    Args:
        action: the command's name in the log.
        by: the principal of the request's token.
        read: reads the command from the request. Only an operator's request is read.
        act: runs the command; returns the result and the fields to log.
        members: the members that the command may have and the log shows.
        redacted: further members that the command may have and the log does not show.
        needs_comment: returns whether a command must have a ``comment``.

    Returns:
        The result of ``act``.

    Raises:
        ForbiddenError: the token is of another role, or has no printable subject.
        InvalidError: the command has an unknown member, a text that cannot be stored, or no valid
            comment.
    """
    return _run(
        action,
        lambda: by,
        read,
        act,
        members=("comment", *members),
        logged=members,
        redacted=redacted,
        needs_comment=needs_comment,
    )


def _run(
    action: str,
    authenticate: Callable[[], Principal],
    read: Callable[[], Mapping[str, Any]],
    act: Callable[[Principal, Mapping[str, Any]], tuple[Any, LogFields]],
    *,
    members: Collection[str],
    logged: Collection[str],
    redacted: Collection[str],
    needs_comment: Callable[[Mapping[str, Any]], bool],
) -> Any:
    entry = _AuditEntry(action)
    try:
        entry.by = by = authenticate()
        _require_operator(by)
        command = read()
        _check_members(command, [*members, *redacted])
        entry.command = _logged_members(command, logged)
        entry.comment = _comment(command, required=needs_comment(command))
    except Exception as error:
        entry.write("refused", logging.WARNING, error=error)
        raise
    entry.write("started")
    try:
        result, logged_result = act(by, command)
    except BaseException as error:
        is_ours = isinstance(error, PunchClockError)
        entry.write("failed", logging.WARNING if is_ours else logging.ERROR, error=error)
        raise
    entry.write("done", result=logged_result)
    return result


class _AuditEntry:
    """The fields that the log lines of one command share."""

    def __init__(self, action: str) -> None:
        self._action = action
        self._started = time.monotonic()
        self.by: Principal | None = None
        self.command: LogFields = {}
        self.comment: str | None = None

    def write(
        self,
        outcome: str,
        level: int = logging.INFO,
        *,
        error: BaseException | None = None,
        result: LogFields | None = None,
    ) -> None:
        fields = {
            "by": self.by.subject if self.by else None,
            "role": self.by.role if self.by else None,
            "comment": self.comment,
            "command": self.command or None,
            "result": result or None,
            "error": _loggable(error) if error else None,
        }
        telemetry.audit(
            "operator action",
            level,
            action=self._action,
            outcome=outcome,
            **{name: value for name, value in fields.items() if value is not None},
            took_ms=round((time.monotonic() - self._started) * 1000),
        )


def _loggable(error: BaseException) -> str:
    """Return the message of our own error; of another, only its type: it may quote a record."""
    return error.message if isinstance(error, PunchClockError) else type(error).__name__


def _as_object(event: object) -> Mapping[str, Any]:
    """Return the event; an empty object, which has no token, if the event is not an object."""
    return event if isinstance(event, Mapping) else {}


def _token(command: Mapping[str, Any]) -> str:
    token = command.get("token")
    if not isinstance(token, str) or not token:
        raise UnauthenticatedError(
            'The member "token" is missing. Send a token of the role integration: {"token": "…"}'
        )
    return token


def _require_operator(by: Principal) -> None:
    if by.role is not Role.INTEGRATION or by.read_only:
        raise ForbiddenError(f"This command requires a token of the role {Role.INTEGRATION}.")
    if not by.subject.strip() or not by.subject.isprintable():
        raise ForbiddenError(
            'The audit log needs the operator\'s name. Send a token with a printable "sub" claim.'
        )


def _check_members(command: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = sorted(command.keys() - set(known))
    if unknown:
        shown = ", ".join(each[:_MAX_COMMENT] for each in unknown[:10])
        raise InvalidError(
            f"Unknown member: {shown}. This command has {', '.join(known)}.",
            target=unknown[0][:100],
        )
    for name, value in command.items():
        # Postgres stores neither in a text, and a surrogate has no encoding.
        if isinstance(value, str) and _UNSTORABLE.search(value):
            raise InvalidError(
                f"{name} contains a NUL character or an unpaired surrogate.", target=name
            )


def _logged_members(command: Mapping[str, Any], members: Collection[str]) -> dict[str, object]:
    return {name: str(command[name])[:_MAX_LOGGED_VALUE] for name in members if name in command}


def _comment(command: Mapping[str, Any], *, required: bool) -> str | None:
    comment = command.get("comment")
    if comment is None and not required:
        return None
    if not isinstance(comment, str) or len(comment) > _MAX_COMMENT or not comment.isprintable():
        raise InvalidError(
            f"comment must be one line of printable text, at most {_MAX_COMMENT} characters.",
            target="comment",
        )
    if required and not comment.strip():
        raise InvalidError(
            "comment must say why. The audit log keeps it beside your name.", target="comment"
        )
    return comment
