"""What every legacy of these tests needs: arguments, a database, a record of the requests, a port.

The database survives the death of its process, as that of a real system would. Tests read it.
"""

import argparse
import io
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

# An employee that no legacy of these tests knows. They refuse his punches.
UNKNOWN_EMPLOYEE = 404
# The SOAP server is busy when this employee's first punch arrives.
BUSY_EMPLOYEE = 503

# One process has one set of credentials. They are in the profiles of docs/legacies.md.
USER, PASSWORD = "punch-clock", "s3cret & long"

_TABLES = """
CREATE TABLE IF NOT EXISTS punch (key TEXT PRIMARY KEY, employee INTEGER, at TEXT);
CREATE TABLE IF NOT EXISTS request (method TEXT, target TEXT, headers TEXT, body TEXT);
"""


class Database:
    """The punches of a legacy, by their idempotency key, and the requests that it received."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(f"PRAGMA synchronous = OFF; {_TABLES}")
        self._lock = threading.Lock()

    def add(self, key: str, employee: int, at: str) -> bool:
        """Store a punch; return False if the key is known.

        Raises:
            LookupError: nobody has this employee number.
        """
        if employee == UNKNOWN_EMPLOYEE:
            raise LookupError(f"unknown employee {employee}")
        statement = "INSERT INTO punch VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        return self._run(statement, key, employee, at) == 1

    def record(self, environ: dict[str, Any], body: bytes) -> None:
        """Store a request as it came."""
        names = {"CONTENT_TYPE", "CONTENT_LENGTH"}
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in names
        }
        target = environ["PATH_INFO"]
        if environ.get("QUERY_STRING"):
            target += f"?{environ['QUERY_STRING']}"
        statement = "INSERT INTO request VALUES (?, ?, ?, ?)"
        method = environ["REQUEST_METHOD"]
        self._run(statement, method, target, json.dumps(headers), body.decode())

    def _run(self, statement: str, *values: object) -> int:
        with self._lock:
            return self._connection.execute(statement, values).rowcount


def local_time(document: dict[str, Any]) -> str:
    """Return the instant of a record that came as our JSON, in the offset of its device."""
    zone = timezone(timedelta(minutes=document["utcOffsetMinutes"]))
    return datetime.fromisoformat(document["includedAt"]).astimezone(zone).isoformat()


def arguments(description: str | None, **options: Any) -> argparse.Namespace:
    """Parse the command line: the port, the database's file, and ``options`` with defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--database", default=":memory:")
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


def recorded(application: Any, database: Database) -> Callable[..., Iterable[bytes]]:
    """Wrap a WSGI application so that each request is stored before it is handled."""

    def wrapper(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        database.record(environ, body)
        return application(environ, start_response)

    return wrapper


def announce(url: str) -> None:
    """Print where the server listens. The parent process waits for this line."""
    print(json.dumps({"url": url}), flush=True)


def serve(application: Any, port: int, tls: BuiltinSSLAdapter | None = None) -> None:
    """Serve a WSGI application until the process is killed."""
    server = Server(("127.0.0.1", port), application, numthreads=10, request_queue_size=128)
    server.ssl_adapter = tls
    server.prepare()
    scheme = "https" if tls else "http"
    announce(f"{scheme}://127.0.0.1:{server.bind_addr[1]}")
    server.serve()
