"""Credentials of the legacy for tests: built from settings, and a connection that carries them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from chalicelib import aws, secret_references
from chalicelib.integrator.legacy.authenticated_connection import AuthenticatedConnection
from chalicelib.integrator.legacy.authentication.shared_credentials import (
    CallCredentials,
    SharedCredentials,
)
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.settings import Settings


def credentials_of(environ: Mapping[str, str]) -> SharedCredentials:
    """Build the credentials from variables, which may refer to files."""
    settings = Settings.from_env(environ)

    def read(names: Sequence[str]) -> dict[str, str]:
        return {
            name: secret_references.read(name.upper(), getattr(settings, name), aws.secrets)
            for name in names
        }

    return SharedCredentials(settings, read)


def current(credentials: SharedCredentials) -> CallCredentials:
    """Return the present credentials; wait while a token is requested."""
    while (used := credentials.current()) is None:
        time.sleep(0.001)
    return used


@contextmanager
def connected(
    url: str, environ: Mapping[str, str] | SharedCredentials, call_timeout_s: float = 5.0
) -> Iterator[AuthenticatedConnection]:
    """Yield a connection that carries the credentials of these variables."""
    if not isinstance(environ, SharedCredentials):
        environ = credentials_of({"LEGACY_CALL_TIMEOUT_S": str(call_timeout_s), **environ})
    connection = AuthenticatedConnection(LegacyEndpoint(url, 5.0, 10.0, call_timeout_s), environ)
    try:
        yield connection
    finally:
        connection.close()
