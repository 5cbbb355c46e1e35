"""What an operator asks of the service: who may, and what the log tells of it.

Promises that nothing is done, and no store is asked, before a token has named somebody who has the
role ``integration``; and that the log has who asked for what and what came of it, whatever
``LOG_LEVEL`` is: ``refused`` alone, or ``asked`` before anything is done, and then ``done`` or
``failed``. How a token is checked is the authenticator's, as it is for every route.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from chalicelib import telemetry
from chalicelib.errors import ForbiddenError, InvalidError, PunchClockError, UnauthenticatedError
from chalicelib.principal import Principal, Role

_MOST_COMMENT = 200
_MOST_TOLD = 4_000

Told = Mapping[str, object]
"""What the log tells of what an action has done: counts and names, nothing of a record."""


def perform(
    action: str,
    event: object,
    principal_of: Callable[[str], Principal],
    act: Callable[[Principal], tuple[Any, Told]],
    *,
    members: Collection[str] = (),
    untold: Collection[str] = (),
) -> Any:
    """Do what an operator asks for, and log it.

    Args:
        action: its name in the log.
        event: what was asked: an object with a ``token``, perhaps a ``comment`` for the log, and
            the action's own ``members``.
        principal_of: returns whom a token speaks for; see ``Authenticator.principal``.
        act: does it, for that principal; returns the answer, and what the log tells of it.
        members: that the event may have; the log tells them.
        untold: further members, which the log does not tell.

    Returns:
        The answer.

    Raises:
        UnauthenticatedError: there is no token, or it is not to be believed.
        ForbiddenError: it is of another role, or does not say whose it is.
        InvalidError: the event has a member that means nothing here.
        UnavailableError: whose token it is cannot be told now.
    """
    line = _Line(action)
    try:
        asked = _object(event)
        line.by = by = principal_of(_token(asked))
        _require_operator(by)
        line.asked = _asked(asked, members, untold)
        line.comment = _comment(asked)
    except Exception as error:
        line.tell("refused", logging.WARNING, error=error)
        raise
    line.tell("asked")
    try:
        answer, told = act(by)
    except BaseException as error:
        ours = isinstance(error, PunchClockError)
        line.tell("failed", logging.WARNING if ours else logging.ERROR, error=error)
        raise
    line.tell("done", found=told)
    return answer


class _Line:
    """What each line of one action has."""

    def __init__(self, action: str) -> None:
        self._action = action
        self._began = time.monotonic()
        self.by: Principal | None = None
        self.asked: Told = {}
        self.comment: str | None = None

    def tell(
        self,
        outcome: str,
        level: int = logging.INFO,
        *,
        error: BaseException | None = None,
        found: Told | None = None,
    ) -> None:
        fields = {
            "by": self.by.subject if self.by else None,
            "role": self.by.role if self.by else None,
            "comment": self.comment,
            "asked": self.asked or None,
            "found": found or None,
            "error": _words(error) if error else None,
        }
        telemetry.audit(
            "operator action",
            level,
            action=self._action,
            outcome=outcome,
            **{name: value for name, value in fields.items() if value is not None},
            took_ms=round((time.monotonic() - self._began) * 1000),
        )


def _words(error: BaseException) -> str:
    """Return what an error says, if it is ours: what others say may quote a record."""
    return error.message if isinstance(error, PunchClockError) else type(error).__name__


def _object(event: object) -> Mapping[str, Any]:
    """Return what was asked; what is no object has no token either."""
    return event if isinstance(event, Mapping) else {}


def _token(asked: Mapping[str, Any]) -> str:
    token = asked.get("token")
    if not isinstance(token, str) or not token:
        raise UnauthenticatedError('Send a token of the role integration: {"token": "…"}')
    return token


def _require_operator(by: Principal) -> None:
    if by.role is not Role.INTEGRATION:
        raise ForbiddenError(f"This is for the role {Role.INTEGRATION} alone.")
    if not by.subject.strip() or not by.subject.isprintable():
        raise ForbiddenError("The token has no sub that the log could tell who asked by.")


def _asked(
    asked: Mapping[str, Any], members: Collection[str], untold: Collection[str]
) -> dict[str, object]:
    unknown = sorted(asked.keys() - {"token", "comment", *members, *untold})
    if unknown:
        shown = ", ".join(each[:_MOST_COMMENT] for each in unknown[:10])
        raise InvalidError(f"There is no such member here: {shown}.", target=unknown[0][:100])
    return {name: str(asked[name])[:_MOST_TOLD] for name in members if name in asked}


def _comment(asked: Mapping[str, Any]) -> str | None:
    comment = asked.get("comment")
    if comment is None:
        return None
    if not isinstance(comment, str) or len(comment) > _MOST_COMMENT or not comment.isprintable():
        raise InvalidError(
            f"A comment is a text of up to {_MOST_COMMENT} characters.", target="comment"
        )
    return comment
