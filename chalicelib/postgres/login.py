"""How the connections of a pool log in, and how that is read again once the login is refused.

Invariants:

- A refused login is read again at most every ten seconds by all threads together, so an
  outage does not exhaust the quota of the store of secrets.
- Nothing here raises or logs a secret.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pg8000.exceptions import DatabaseError

from chalicelib import telemetry
from chalicelib.errors import PunchClockError
from chalicelib.postgres import sqlstate
from chalicelib.postgres.database_url import connect_arguments
from chalicelib.wall_clock import has_passed

# invalid_authorization_specification, such as a role that may not log in; invalid_password.
_REFUSED = ("28000", "28P01")
_REREAD_EVERY_S = 10.0


class Login:
    """The arguments of a pool's connections.

    Args:
        url: the value of the setting.
        setting: the name of the setting.
        reread: reads the value again, behind its reference; None if it cannot change.
        clock: the wall clock, in seconds (``wall_clock``).

    Raises:
        MisconfiguredError: the value is malformed, or its certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        setting: str,
        reread: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.arguments: Mapping[str, Any] = connect_arguments(url, setting)
        self._url = url
        self._setting = setting
        self._reread = reread
        self._clock = clock
        self._reread_at = float("-inf")
        self._lock = threading.Lock()

    def replace(self, refused: Mapping[str, Any]) -> bool:
        """Read the login again after the server has refused it.

        Args:
            refused: the ``arguments`` with which the connection was attempted.

        Returns:
            Whether ``arguments`` are others now, so that another attempt may succeed.
        """
        with self._lock:
            if self.arguments is not refused:  # another thread has replaced them
                return True
            now = self._clock()
            if self._reread is None or not has_passed(_REREAD_EVERY_S, self._reread_at, now):
                return False
            self._reread_at = now
            try:
                url = self._reread()
                if url == self._url:
                    telemetry.event(
                        "the database refuses our login", logging.ERROR, setting=self._setting
                    )
                    return False
                self.arguments = connect_arguments(url, self._setting)
            except PunchClockError as error:
                telemetry.event(
                    "the login of the database cannot be read again",
                    logging.ERROR,
                    reason=error.message,
                    cause=error.__cause__,
                )
                return False
            self._url = url
            # The next login may be replaced at once, too.
            self._reread_at = float("-inf")
        telemetry.event(
            "the login of the database has changed",
            setting=self._setting,
            user=self.arguments["user"],
        )
        return True


def is_refused(error: DatabaseError) -> bool:
    """Return whether the server has refused a login, so that another one may be accepted."""
    return sqlstate.of(error) in _REFUSED
