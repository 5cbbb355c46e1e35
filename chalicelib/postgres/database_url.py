"""Read the URL of a database: host, login and TLS of its connections.

Invariant: no error message has a part of the URL, which may be a password.
"""

import ssl
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from chalicelib.errors import MisconfiguredError
from chalicelib.net import is_loopback


def connect_arguments(url: str, setting: str = "DATABASE_URL") -> dict[str, Any]:
    """Translate a libpq URI to the arguments of pg8000's Connection.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS

    Raises:
        MisconfiguredError: the URL is malformed, or its certificates cannot be read.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:  # its message has a part of the URL, which may be a password
        raise MisconfiguredError(f"{setting} is not a valid URI.") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise MisconfiguredError(f"{setting} must be a URI that starts with postgresql://.")
    options = parse_qs(parts.query)
    socket_directory = next(
        (host for host in options.get("host", []) if host.startswith("/")), None
    )
    arguments: dict[str, Any] = {
        "user": unquote(parts.username or "postgres"),
        "database": unquote(parts.path.lstrip("/")) or None,
        "application_name": "punch-clock",
    }
    host = parts.hostname or "localhost"
    if parts.password:
        arguments["password"] = unquote(parts.password)
    if socket_directory:
        arguments["unix_sock"] = f"{socket_directory}/.s.PGSQL.{port}"
        return arguments
    arguments |= {"host": host, "port": port}
    if not is_loopback(host):
        arguments["ssl_context"] = _tls(options.get("sslrootcert", [None])[0], setting)
    return arguments


def _tls(root_certificates: str | None, setting: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates of a file, or else the system's."""
    try:
        return ssl.create_default_context(cafile=root_certificates)
    except OSError as error:  # ssl's own error is one
        raise MisconfiguredError(
            f"The sslrootcert of {setting} is not a readable file of PEM certificates."
        ) from error
