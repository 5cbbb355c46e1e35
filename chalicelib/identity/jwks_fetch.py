"""Fetch the keys that a token issuer publishes, in bounded time and size.

A process whose keys come from their table does not import this module.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from urllib.parse import urlsplit

from chalicelib.bounded_call import begin
from chalicelib.errors import UnavailableError
from chalicelib.identity.jwk_set import MAX_BYTES, JwkSetError

_CONNECT_TIMEOUT_S = 2.0
_FETCH_TIMEOUT_S = 4.0


def fetch(url: str, timeout_s: float = _FETCH_TIMEOUT_S) -> bytes:
    """Return the body behind an http or https URL, in bounded time and size, without redirects.

    Raises:
        JwkSetError: no response within the timeout, a status other than 200, or a body that is too
            long or incomplete.
    """
    # A DNS lookup has no timeout, and the connect timeout applies to each address of a host.
    try:
        return begin(lambda: _fetch(url, timeout_s), "The token issuer")(timeout_s)
    except UnavailableError as error:
        raise JwkSetError("no response in time") from error


def _fetch(url: str, timeout_s: float) -> bytes:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_TIMEOUT_S)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT_TIMEOUT_S, context=ssl.create_default_context()
        )

    def disconnect() -> None:
        # The socket's timeout is that of one read: a slow drip of bytes would never exceed it.
        if connection.sock is not None:
            with contextlib.suppress(OSError):  # the connection has just ended
                connection.sock.shutdown(socket.SHUT_RDWR)

    deadline = threading.Timer(timeout_s, disconnect)
    deadline.daemon = True
    deadline.start()
    try:
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        connection.request("GET", target, headers={"Accept": "application/json"})
        with connection.getresponse() as response:
            body = response.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise JwkSetError(f"no response: {type(error).__name__}") from error
    finally:
        deadline.cancel()
        connection.close()
    if response.status != http.client.OK:
        raise JwkSetError(f"the status of the response is {response.status}")
    if len(body) > MAX_BYTES:
        raise JwkSetError(f"the response is over {MAX_BYTES} bytes")
    if response.length:
        raise JwkSetError("the response is incomplete")
    return body
