"""The loopback interface, on which every server of the stack listens, and its free ports."""

import os
import random
import socket

HOST = "127.0.0.1"

# Below the ranges of ephemeral ports of Linux (32768…) and macOS (49152…): no outgoing connection
# can occupy the port of a server that is about to be restarted.
_PORTS = range(20_000, 32_000)


class NoFreePortError(Exception):
    """Every port of the range is in use."""


def free_port() -> int:
    """Return a random port on which no process listens.

    Another process may bind the port before the caller does.

    Raises:
        NoFreePortError: every port of the range is in use.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        if is_free(port):
            return port
    raise NoFreePortError(f"No port from {_PORTS.start} to {_PORTS.stop - 1} is free.")


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def bypass_proxies() -> None:
    """Exempt the loopback interface from HTTP proxies, in this process and its children."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST, "localhost")))
