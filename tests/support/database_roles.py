"""Make and rotate the logins of a database with the statements of the documents."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from local import postgres
from local.child_process import PROJECT
from local.postgres import Postgres

OWNER = "punch_clock_owner"
WRITER, WRITER_B = "punch_clock_writer", "punch_clock_writer_b"
READER, READER_B = "punch_clock_reader", "punch_clock_reader_b"
_END_IF_IDLE = "CASE state WHEN 'idle' THEN pg_terminate_backend(pid) END"
LOGINS = (WRITER, WRITER_B, READER, READER_B)


def documented(first_line: str) -> str:
    """Return the block of SQL in the documents of operators that begins with a line."""
    files = [PROJECT / "docs" / name for name in ("database.md", "operations.md")]
    text = "".join(each.read_text(encoding="utf-8") for each in files)
    blocks = re.findall(r"^ *```sql\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    (block,) = [each for each in blocks if each.strip().startswith(first_line)]
    return str(block)


class Master:
    """The master user: like that of RDS, it has CREATEDB and CREATEROLE and is no superuser."""

    def __init__(self, server: Postgres, database: str) -> None:
        self._server = server
        self._database = database

    def url(self, login: str = postgres.NAME) -> str:
        """Return the URL of the database for a login, whose password is ``secret-`` its name."""
        url = self._server.url(self._database)
        if login == postgres.NAME:
            return url
        password = urlsplit(url).password or ""
        return url.replace(f"{postgres.NAME}:{password}", f"{login}:secret-{login}", 1)

    def psql(self, statements: str) -> str:
        """Run statements as an operator does; the first that fails ends the run."""
        done = subprocess.run(
            [postgres._PROGRAMS / "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", self.url()],
            input=statements,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make_roles(self) -> None:
        """Run the documented statements that make the roles."""
        block = documented("DO $$").replace(
            "ALTER DATABASE punchclock", f"ALTER DATABASE {self._database}"
        )
        self.psql(_with_passwords(block))

    def let_in(self, login: str) -> None:
        """Run the documented statement that lets a login in."""
        block = documented("ALTER ROLE punch_clock_writer_b")
        self.psql(_with_passwords(block.replace(WRITER_B, login)))

    def lock_out(self, login: str, *, by_force: bool = False) -> None:
        """Run the documented statements that lock a login out, until no session of it is left.

        Args:
            login: the login.
            by_force: end its transactions, too, as after a leak.
        """
        block = documented("ALTER ROLE punch_clock_writer NOLOGIN")
        assert block.count(WRITER) == 2
        block = block.replace(WRITER, login)
        if by_force:
            assert block.count(_END_IF_IDLE) == 1
            block = block.replace(_END_IF_IDLE, "pg_terminate_backend(pid)")
        while self.psql(block).split("\n")[1:-1]:
            pass

    def sessions(self, login: str) -> int:
        return int(
            self.psql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{login}'").strip()
        )


def _with_passwords(block: str) -> str:
    password = r"ALTER ROLE \1 LOGIN PASSWORD 'secret-\1'"
    return re.sub(r"ALTER ROLE (\w+) LOGIN PASSWORD '…'", password, block)


@contextmanager
def roles_removed(server: Postgres) -> Iterator[None]:
    """Remove the roles at the end, when the databases that they own are gone."""
    try:
        yield
    finally:
        names = ", ".join((*LOGINS, OWNER))
        Master(server, postgres.NAME).psql(f"DROP ROLE IF EXISTS {names}")
