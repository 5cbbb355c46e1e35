"""Connect to the legacy: what the rest of the integrator starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chalicelib.integrator.legacy.legacy_client import LegacyConnection
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authenticated_connection import AuthenticatedConnection


def connect(
    endpoint: LegacyEndpoint, *, resolve: Sequence[str] = ()
) -> LegacyConnection | AuthenticatedConnection:
    """Return a new connection, whose calls carry the endpoint's credentials.

    Args:
        endpoint: where to connect to.
        resolve: see ``LegacyConnection``.
    """
    if endpoint.credentials is None:
        return LegacyConnection(endpoint, resolve=resolve)
    from chalicelib.integrator.legacy.authenticated_connection import (  # noqa: PLC0415 - only if
        AuthenticatedConnection,  # it asks for credentials
    )

    return AuthenticatedConnection(endpoint, endpoint.credentials, resolve=resolve)
