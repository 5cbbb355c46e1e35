"""Read the URL of a database: host, login and TLS of its connections.

A URL is a libpq URI, ``postgresql://user:password@host:port/database``, or a JSON object with the
members that RDS writes into a secret: username, password, host, port and dbname. TLS is required,
with the certificate verified, unless the host is this machine: there TLS is used if the server
offers it, and with ``sslmode=disable`` the server is not asked. Unix sockets have no TLS.

Invariant: no error message has a part of the URL, which may be a password.
"""

import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from chalicelib.errors import MisconfiguredError
from chalicelib.net import is_loopback

_DEFAULT_PORT = 5432
# The names of RDS instances, Aurora clusters and RDS proxies. A proxy has a public certificate.
_RDS_HOSTS = (".rds.amazonaws.com", ".rds.amazonaws.com.cn")
_RDS_CA = Path(__file__).with_name("rds_ca.pem")


def connect_arguments(url: str, setting: str = "DATABASE_URL") -> dict[str, Any]:
    """Translate a URL to the arguments of pg8000's Connection.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS

    Raises:
        MisconfiguredError: the URL is malformed, or its certificates cannot be read.
    """
    if url.lstrip().startswith("{"):
        return _from_json(url, setting)
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORT
    except ValueError:  # its message has a part of the URL, which may be a password
        raise MisconfiguredError(f"{setting} is not a valid URI.") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise MisconfiguredError(
            f"{setting} must be a URI that starts with postgresql://, or a JSON object."
        )
    options = parse_qs(parts.query)
    socket_directory = next(
        (host for host in options.get("host", []) if host.startswith("/")), None
    )
    arguments = _arguments(
        unquote(parts.username or "postgres"),
        unquote(parts.password or ""),
        unquote(parts.path.lstrip("/")) or None,
    )
    if socket_directory:
        return arguments | {
            "unix_sock": f"{socket_directory}/.s.PGSQL.{port}",
            "ssl_context": False,
        }
    return arguments | _server(parts.hostname or "localhost", port, options, setting)


def _from_json(text: str, setting: str) -> dict[str, Any]:
    """Translate the text of a secret of RDS.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
    """
    try:
        secret = json.loads(text)
    except ValueError:  # its cause has the text
        raise MisconfiguredError(f"{setting} is not a valid JSON object.") from None
    for member in ("username", "password", "host", "dbname"):
        if not isinstance(secret.get(member), str) or not secret[member]:
            raise MisconfiguredError(f"The JSON object of {setting} needs the text {member}.")
    port = str(secret.get("port", _DEFAULT_PORT))
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise MisconfiguredError(f"The port in the JSON object of {setting} is not a port number.")
    arguments = _arguments(secret["username"], secret["password"], secret["dbname"])
    return arguments | _server(secret["host"], int(port), {}, setting)


def _arguments(user: str, password: str, database: str | None) -> dict[str, Any]:
    login = {"user": user, "database": database, "application_name": "punch-clock"}
    return login | ({"password": password} if password else {})


def _server(host: str, port: int, options: dict[str, list[str]], setting: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"host": host, "port": port}
    if not is_loopback(host):
        arguments["ssl_context"] = _tls(host, options.get("sslrootcert", [None])[0], setting)
    elif options.get("sslmode") == ["disable"]:
        # Before it asks for TLS, pg8000 reads all certificates of the system: some 50 ms of CPU.
        arguments["ssl_context"] = False
    return arguments


def _tls(host: str, root_certificates: str | None, setting: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates of a file.

    Without a file it trusts those of the system, and for hosts of RDS also Amazon's for RDS.
    """
    try:
        context = ssl.create_default_context(cafile=root_certificates)
    except OSError as error:  # ssl's own error is one
        raise MisconfiguredError(
            f"The sslrootcert of {setting} is not a readable file of PEM certificates."
        ) from error
    if root_certificates is None and host.lower().endswith(_RDS_HOSTS):
        context.load_verify_locations(_RDS_CA)
    return context
