"""The whole system on one machine: brought up in order, kept up, taken down in reverse order.

Promises that all of it is ready once ``start`` returns, that a process that dies is started again
on its port, as Lambda would, and that ``stop`` leaves none behind.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pg8000.exceptions import DatabaseError

from chalicelib.identity.factory import authenticator
from chalicelib.operations.audited_command import perform
from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import MigrationError, migrate
from chalicelib.principal import Principal
from chalicelib.settings import Settings
from local import postgres
from local.dynamodb import server as dynamodb_server
from local.operator_session import audited, own_token
from local.process import Child, StartError, is_free
from local.services import SCHEDULES, start_api, start_legacy, start_ticker
from local.stack_file import TABLE, connect_dynamodb, environment, forget_stack, write_stack
from local.tokens import key_file, make_key, read_key

# So that bookmarks find the default stack. PostgreSQL's is not 5432, which
# the system's own server often has.
USUAL_PORTS = {"api": 8000, "postgres": 15432, "dynamodb": 8042, "legacy": 8090}

_WATCH_EVERY_S = 0.1
_LONGEST_PAUSE_S = 5.0
# One that ran for so long before it died is started again at once.
_STEADY_S = 10.0
# A ticker settles what it has sent to the legacy, for up to the longest call.
_STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Options:
    """What of a stack can be chosen.

    Attributes:
        home: the directory of its data, logs and ``stack.json``.
        port: of the API; 0 is any free one, None the usual one where that is free.
        usual_ports: take the usual ports, where they are free, also for all else.
        tick_s: between two runs of each schedule; 0 is no runs.
        legacy_url: where records are POSTed to in place of the simulated legacy.
    """

    home: Path
    port: int | None
    usual_ports: bool
    tick_s: float
    legacy_url: str | None


class Stack:
    """One stack, from ``start`` to ``stop``. ``tell`` shows a line to people."""

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self._options = options
        self._tell = tell
        self._children: dict[str, Child] = {}
        self.urls: dict[str, str] = {}

    def start(self) -> None:
        """Start all, each once what it needs is ready.

        Raises:
            StartError: with the reason. Call ``stop`` for what has been started.
        """
        options = self._options
        home = options.home
        api_port = self._port("api")
        make_key(home)
        self._tell("Starting PostgreSQL …")
        database = postgres.start(home, self._port("postgres"))
        self._children["postgres"] = database.child
        self.urls["postgres"] = database.url()

        self._start_dynamodb()
        if options.legacy_url:
            self.urls["legacy"] = options.legacy_url
        else:
            self._tell("Starting the simulated legacy …")
            self._children["legacy"], self.urls["legacy"] = start_legacy(home, self._port("legacy"))

        for name in _migrate(database.url(), home):
            self._tell(f"Applied the migration {name}")

        self._tell("Starting the app …")
        found = environment(self._description())
        self._children["api"], self.urls["api"] = start_api(home, api_port, found)
        for schedule in SCHEDULES if options.tick_s else ():
            self._children[schedule] = start_ticker(home, schedule, options.tick_s, found)
        self._write()

    def watch(self) -> None:
        """Start again what dies, for ever."""
        pauses = dict.fromkeys(self._children, 0.0)
        started_at = dict.fromkeys(self._children, time.monotonic())
        while True:
            time.sleep(_WATCH_EVERY_S)
            for name, child in self._children.items():
                now = time.monotonic()
                if child.is_running() or now < started_at[name] + pauses[name]:
                    continue
                self._tell(f"{name} died ({child.end()}); starting it again. Its log: {child.log}")
                lasted = now - started_at[name] > _STEADY_S
                pauses[name] = 0.0 if lasted else min(_LONGEST_PAUSE_S, 2 * pauses[name] + 0.5)
                child.start()
                started_at[name] = now
                self._write()

    def stop(self) -> None:
        """Stop all that was started, the last first: nobody loses a store that it still uses."""
        forget_stack(self._options.home)
        for child in reversed(self._children.values()):
            if not child.stop(_STOP_S):
                self._tell(f"{child.name} did not end in {_STOP_S:g} s and was killed")

    def _start_dynamodb(self) -> None:
        """Start the DynamoDB endpoint, unless the environment names one, and make the table."""
        url = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")
        if url:
            self._tell(f"Using the DynamoDB endpoint {url} of the environment")
        else:
            self._tell("Starting the DynamoDB endpoint …")
            child, url = dynamodb_server.start(self._options.home, self._port("dynamodb"))
            self._children["dynamodb"] = child
        self.urls["dynamodb"] = url
        try:
            client = connect_dynamodb(self._description())
            dynamodb_server.create_table(client, TABLE)
            client.close()
        except (BotoCoreError, ClientError) as error:
            raise StartError(f"The table cannot be made at {url}: {error}") from error

    def _port(self, name: str) -> int:
        """Return the port to use; 0 is any free one."""
        wanted = self._options.port
        if name == "api" and wanted is not None:
            if wanted and not is_free(wanted):
                raise StartError(
                    f"Port {wanted} is taken. Choose another with --port, or 0 for any."
                )
            return wanted
        usual = USUAL_PORTS[name]
        if not self._options.usual_ports:
            return 0
        if not is_free(usual):
            self._tell(f"Port {usual} is taken: {name} gets another")
            return 0
        return usual

    def _description(self) -> dict[str, Any]:
        home = self._options.home
        return {
            **self.urls,
            "pids": self._pids(),
            "log": str(home / "log/api.log"),
            "jwt_key": str(key_file(home)),
        }

    def _pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._children.items()}

    def _write(self) -> None:
        write_stack(self._options.home, self._description())


def _migrate(url: str, home: Path) -> list[str]:
    """Bring the database to the newest schema, as an operator does: with the stack's own key."""
    database = Database(url, pool=1, connect_timeout_s=5, statement_timeout_s=300)
    checked = authenticator(Settings(), read_key(home))

    def apply(_: Principal) -> tuple[list[str], dict[str, object]]:
        found = migrate(database)
        return found, {"applied": found}

    try:
        with audited(home):
            event = {"token": own_token(home)}
            applied: list[str] = perform("migrate", event, checked.principal, apply)
            return applied
    except (MigrationError, DatabaseError) as error:
        message = f"{error} To begin anew without the data, remove {home}."
        raise StartError(message) from error
    finally:
        database.close()
