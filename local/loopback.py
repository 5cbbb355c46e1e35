"""The loopback interface, on which every server of the stack listens, and its free ports."""

import errno
import itertools
import os
import random
import socket

HOST = "127.0.0.1"

# "FIRST-LAST", one share of the ports each for processes that start servers side by side.
PORTS_VARIABLE = "LOOPBACK_PORTS"

# Below the ranges of ephemeral ports of Linux (32768…) and macOS (49152…): no outgoing connection
# can occupy the port of a server that is about to be restarted.
_PORTS = range(20_000, 32_000)

# Each call of this process takes the next port: it never returns one port for two servers.
_turns = itertools.count(random.randrange(len(_PORTS)))


class NoFreePortError(Exception):
    """Every port of the range is in use."""


def free_port() -> int:
    """Return a port on which no process listens, another one at each call.

    Another process may bind the port before the caller does, unless each has its own share of
    the ports in ``LOOPBACK_PORTS``.

    Raises:
        NoFreePortError: every port of the range is in use.
    """
    ports = _ports()
    for turn in itertools.islice(_turns, len(ports)):
        port = ports[turn % len(ports)]
        if is_free(port):
            return port
    raise NoFreePortError(f"No port from {ports.start} to {ports.stop - 1} is free.")


def share_of_ports(index: int, shares: int) -> str:
    """Return the value of ``LOOPBACK_PORTS`` for one of so many processes, counted from 0."""
    size = len(_PORTS) // shares
    first = _PORTS.start + index * size
    return f"{first}-{first + size - 1}"


def _ports() -> range:
    text = os.environ.get(PORTS_VARIABLE)
    if not text:
        return _PORTS
    first, last = map(int, text.split("-"))
    return range(first, last + 1)


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    return why_not_free(port) is None


def why_not_free(port: int) -> str | None:
    """Return the reason why no server could listen on the port now, or None if one could."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use"
            return f"cannot be used ({error.strerror})"
    return None


def bypass_proxies() -> None:
    """Exempt the loopback interface from HTTP proxies, in this process and its children.

    libcurl and requests read the upper-case variable only if the lower-case one is not set, so a
    variable that is not set takes over the other one. An asterisk exempts all hosts, if alone.
    """
    names = ("no_proxy", "NO_PROXY")
    exempt = {name: os.environ.get(name) for name in names}
    for name, other in zip(names, reversed(names), strict=True):
        hosts = exempt[name] or exempt[other]
        if hosts != "*":
            hosts = ",".join(filter(None, (hosts, HOST, "localhost")))
        os.environ[name] = hosts
