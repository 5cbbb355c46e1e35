"""Start the whole system on one machine, keep it running, and stop it.

Invariant: everything is ready once ``start`` returns; a process that dies is restarted on its port,
as Lambda would; ``stop`` leaves no process behind.

The order of a start: ``→`` waits for everything to its left, lines run concurrently::

    initdb (first start) → PostgreSQL  ┐
    npm ci (first start) → DynamoDB    ├→ table, schema ┬→ schedules
    legacy                             ┘  API           ┘
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pg8000.exceptions import DatabaseError

from chalicelib.identity.factory import authenticator
from chalicelib.operations.audited_command import perform
from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import MigrationError, migrate
from chalicelib.postgres.partitions import keep_partitions
from chalicelib.principal import Principal
from chalicelib.settings import Settings
from local import postgres
from local.child_process import POLL_S, ChildProcess, ServerProcess, StartError
from local.dynamodb import server as dynamodb_server
from local.loopback import why_not_free
from local.node import Installation
from local.operator_session import audit_to_file, operator_token
from local.services import SCHEDULES, launch_api, launch_legacy, start_scheduler
from local.stack_file import TABLE, app_environment, connect_dynamodb, remove_stack, write_stack
from local.supervisor import Supervisor
from local.tokens import key_file, make_key, read_key

# The default stack's ports, so that bookmarks stay valid. PostgreSQL does not get 5432, because a
# server of the system often has it.
DEFAULT_PORTS = {"api": 8000, "postgres": 15432, "dynamodb": 8042, "legacy": 8090}

# A scheduler settles the calls in flight before it ends, which takes up to their timeout.
_STOP_TIMEOUT_S = 20.0

_STEPS = {"postgres": "PostgreSQL", "dynamodb": "DynamoDB", "legacy": "legacy"}


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How to run a stack.

    Attributes:
        home: the directory of its data, logs and ``stack.json``.
        port: the API's port; 0 takes any free one, None the default one if it is free.
        default_ports: whether the other servers take their default ports where these are free.
        workers: how many processes serve the API.
        tick_s: seconds between two runs of a schedule that moves records; 0 runs no schedule.
        legacy: the settings of the legacy that receives records; empty for the simulated one.
    """

    home: Path
    port: int | None
    default_ports: bool
    workers: int
    tick_s: float
    legacy: Mapping[str, str]


class Display(Protocol):
    """Shows the progress of a stack to people."""

    def start(self, step: str) -> None:
        """Show a step as under way."""

    def finish(self, step: str, detail: str = "") -> None:
        """Show a step as done."""

    def note(self, line: str) -> None:
        """Show a line."""


class Stack:
    """One stack, from ``start`` to ``stop``."""

    def __init__(self, options: StackOptions, display: Display) -> None:
        self._options = options
        self._display = display
        self._children: dict[str, ChildProcess] = {}
        self.urls: dict[str, str] = {}

    def start(self) -> None:
        """Start every process, each as soon as those that it needs are ready.

        Raises:
            StartError: a process did not start. Call ``stop`` to stop the others.
        """
        options = self._options
        api_port = self._port("api")
        make_key(options.home)
        self._start_engines()

        self._display.start("app")
        environment = app_environment(self._description())
        api = launch_api(options.home, api_port, environment, options.workers)
        self._children["api"] = api.child
        self._create_schema()
        api.wait_ready()
        self._children["api"], self.urls["api"] = api.child, api.url
        self._display.finish("app")

        if options.tick_s:
            self._display.start("schedules")
            for schedule, every_s in SCHEDULES.items():
                self._children[schedule] = start_scheduler(
                    options.home, schedule, every_s or options.tick_s, environment
                )
            self._display.finish("schedules", f"every {options.tick_s:g} s")
        self._write()

    def watch(self) -> None:
        """Restart each process that dies. Does not return."""
        Supervisor(self._options.home, self._children, self._write, self._display.note).run()

    def stop(self) -> None:
        """Stop every process, in reverse order of the start: a store outlives those that use it."""
        remove_stack(self._options.home)
        for child in reversed(self._children.values()):
            if not child.stop(_STOP_TIMEOUT_S):
                self._display.note(
                    f"{child.name} did not end within {_STOP_TIMEOUT_S:g} s and was killed"
                )

    def _start_engines(self) -> None:
        """Start PostgreSQL, DynamoDB and the legacy concurrently; wait until all are ready.

        Raises:
            StartError: one of them did not start; none of them is left.
        """
        installation = self._install_dynamodb()
        servers: dict[str, ServerProcess] = {}
        try:
            database = self._launch_postgres()
            servers["postgres"] = database.server
            if self._options.legacy:
                self.urls["legacy"] = self._options.legacy["LEGACY_URL"]
            else:
                self._display.start(_STEPS["legacy"])
                servers["legacy"] = launch_legacy(self._options.home, self._port("legacy"))
            waiting = set(servers)
            while waiting or installation:
                if installation and installation.is_complete():
                    servers["dynamodb"] = self._launch_dynamodb(installation)
                    waiting.add("dynamodb")
                    installation = None
                for name in [each for each in waiting if servers[each].poll_ready()]:
                    waiting.remove(name)
                    self._display.finish(_STEPS[name])
                time.sleep(POLL_S)
        except BaseException:
            for server in servers.values():
                server.child.stop()
            if installation:
                installation.stop()
            raise
        for name, server in servers.items():
            self._children[name] = server.child
            self.urls[name] = server.url
        self.urls["postgres"] = database.url()

    def _install_dynamodb(self) -> Installation | None:
        """Start to install the DynamoDB endpoint, unless the environment names an external one."""
        url = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")
        if url:
            self._display.note(f"Using the DynamoDB endpoint of AWS_ENDPOINT_URL_DYNAMODB: {url}")
            self.urls["dynamodb"] = url
            return None
        self._display.start(_STEPS["dynamodb"])
        return dynamodb_server.start_installation()

    def _launch_dynamodb(self, installation: Installation) -> ServerProcess:
        port = self._port("dynamodb")
        return dynamodb_server.launch(self._options.home, port, installation)

    def _launch_postgres(self) -> postgres.Postgres:
        self._display.start(_STEPS["postgres"])
        return postgres.launch(self._options.home, self._port("postgres"))

    def _create_schema(self) -> None:
        """Create the buffer's table and migrate the database.

        Raises:
            StartError: a store refused.
        """
        self._display.start("schema")
        try:
            client = connect_dynamodb(self._description())
            dynamodb_server.create_table(client, TABLE)
            client.close()
        except (BotoCoreError, ClientError) as error:
            url = self.urls["dynamodb"]
            raise StartError(f"The table {TABLE} could not be created at {url}: {error}") from error
        applied = _migrate(self.urls["postgres"], self._options.home)
        self._display.finish("schema", _migration_count(applied))

    def _port(self, name: str) -> int:
        """Return the port to use; 0 means any free one.

        Raises:
            StartError: the port that the user chose is in use, or not theirs to use.
        """
        chosen = self._options.port
        if name == "api" and chosen is not None:
            if chosen and (reason := why_not_free(chosen)):
                raise StartError(
                    f"Port {chosen} {reason}. Choose another with --port, or 0 for any free port."
                )
            return chosen
        default = DEFAULT_PORTS[name]
        if not self._options.default_ports:
            return 0
        if reason := why_not_free(default):
            self._display.note(f"Port {default} {reason}; {name} takes another")
            return 0
        return default

    def _description(self) -> dict[str, Any]:
        home = self._options.home
        return {
            **self.urls,
            "pids": {name: child.pid for name, child in self._children.items()},
            "log": str(home / "log/api.log"),
            "journal": str(home / "journal"),
            "jwt_key": str(key_file(home)),
            "legacy_settings": dict(self._options.legacy),
        }

    def _write(self) -> None:
        write_stack(self._options.home, self._description())


def _migrate(url: str, home: Path) -> list[str]:
    """Apply the pending migrations as an audited operator command; return their names.

    Raises:
        StartError: a migration failed, or an applied one has changed.
    """
    database = Database(url, pool=1, connect_timeout_s=5, statement_timeout_s=300)
    stack_authenticator = authenticator(Settings(), read_key(home))

    def apply(_: Principal) -> tuple[list[str], dict[str, object]]:
        applied = migrate(database)
        keep_partitions(database, datetime.now(UTC), Settings().retention_months)
        return applied, {"applied": applied}

    try:
        with audit_to_file(home):
            event = {"token": operator_token(home)}
            names: list[str] = perform(
                "migrate", event, stack_authenticator.authenticate_token, apply
            )
            return names
    except (MigrationError, DatabaseError) as error:
        message = f"{error} To start again without the data, remove {home}."
        raise StartError(message) from error
    finally:
        database.close()


def _migration_count(applied: list[str]) -> str:
    if not applied:
        return "up to date"
    return f"{len(applied)} migration{'s' if len(applied) > 1 else ''} applied"
