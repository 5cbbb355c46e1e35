"""The keys of an issuer, as it publishes them: RFC 7517 (JSON Web Key), RFC 7518 (algorithms).

Promises that they are read seldom, in bounded time and size: once an hour, and when a token names a
key that is not known. An issuer that is down changes nothing for keys that are known.
"""

import contextlib
import http.client
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import jwt

from chalicelib import telemetry
from chalicelib.errors import UnavailableError

_READ_EVERY_S = 3_600.0
# Between two readings: whoever invents key ids makes no more of them than this.
_PAUSE_S = 30.0
_PAUSE_AFTER_FAILURE_S = 5.0
# While all keys that are asked for are known: a reading that hangs holds one request up.
_PAUSE_WHILE_KNOWN_S = 60.0
_CONNECT_TIMEOUT_S = 2.0
_LONGEST_READ_S = 4.0
_LONGEST_BYTES = 262_144
_MOST_KEYS = 100
_SMALLEST_RSA_BITS = 2_048

# Algorithms by what a key must be for them.
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}


class KeysUnreadableError(Exception):
    """The issuer does not answer, or not with keys."""


class IssuerKeys:
    """The keys behind a URL.

    Args:
        read: returns the body behind the URL, or raises ``KeysUnreadableError``.
        clock: seconds, never going back.
    """

    algorithms = ("RS256", "ES256")

    def __init__(self, read: Callable[[], bytes], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._keys: Mapping[tuple[str, str | None], jwt.PyJWK] = {}
        self._failed = True
        self._old_at = self._next_at = clock()
        self._reading = threading.Lock()

    def key(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        """Return the key of an algorithm that has the id; without one, the only key of that kind.

        Raises:
            UnavailableError: it is not known, and the issuer cannot be asked now.
        """
        found = self._keys.get((algorithm, kid))
        if found is None or self._clock() >= self._old_at:
            self._refresh(wait=found is None)
            found = self._keys.get((algorithm, kid))
        if found is None and self._failed:
            raise UnavailableError("The keys of tokens cannot be read now. Try again soon.")
        return found

    def _refresh(self, *, wait: bool) -> None:
        """Read the keys again, unless that was done just now. One thread does; others may wait."""
        if not self._reading.acquire(blocking=wait, timeout=2 * _LONGEST_READ_S if wait else -1):
            return
        try:
            if self._clock() < self._next_at:
                return
            try:
                self._keys = keys_of(self._read())
                self._failed = False
            except KeysUnreadableError as error:
                self._failed = True
                telemetry.event("the keys of tokens cannot be read", logging.WARNING, cause=error)
            now = self._clock()
            self._next_at = now + (_PAUSE_AFTER_FAILURE_S if self._failed else _PAUSE_S)
            self._old_at = now + (_PAUSE_WHILE_KNOWN_S if self._failed else _READ_EVERY_S)
        finally:
            self._reading.release()


def keys_of(body: bytes) -> dict[tuple[str, str | None], jwt.PyJWK]:
    """Return the keys of a JWK set that verify signatures, by algorithm and id.

    Keys for other uses and of other kinds are passed over; so is a shared secret, which has no
    business here. The only key of an algorithm is that of tokens without an id too.

    Raises:
        KeysUnreadableError: it is no JWK set, or has no such key.
    """
    try:
        entries = json.loads(body)["keys"][:_MOST_KEYS]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeysUnreadableError("the answer is no JWK set") from error
    found: dict[tuple[str, str | None], jwt.PyJWK] = {}
    for entry in entries:
        key = _key_of(entry) if isinstance(entry, dict) else None
        if key is not None:
            found.setdefault((key.algorithm_name, entry.get("kid")), key)
    if not found:
        raise KeysUnreadableError("the JWK set has no key that verifies RS256 or ES256")
    for algorithm in IssuerKeys.algorithms:
        of_it = [key for (name, _), key in found.items() if name == algorithm]
        if len(of_it) == 1:
            found[algorithm, None] = of_it[0]
        else:
            found.pop((algorithm, None), None)
    return found


def _key_of(entry: Mapping[str, Any]) -> jwt.PyJWK | None:
    """Return a key that verifies signatures, or None where it is none that is wanted."""
    algorithm = _ALGORITHMS.get(str(entry.get("kty")))
    operations, kid = entry.get("key_ops", ["verify"]), entry.get("kid")
    if (
        algorithm is None
        or entry.get("use", "sig") != "sig"
        or entry.get("alg", algorithm) != algorithm
        or not isinstance(operations, list)
        or "verify" not in operations
        or not (kid is None or isinstance(kid, str))
        or (algorithm == "ES256" and entry.get("crv") != "P-256")
    ):
        return None
    try:
        # Without what makes a key private: nothing here signs.
        public = {name: value for name, value in entry.items() if name != "d"}
        key = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return None if algorithm == "RS256" and key.key.key_size < _SMALLEST_RSA_BITS else key


def read_url(url: str) -> bytes:
    """Read what is behind an http(s) URL: no redirects, and in bounded time and size.

    Raises:
        KeysUnreadableError: there is no answer in time, none of 200, or too long a one.
    """
    found: SimpleQueue[bytes | KeysUnreadableError] = SimpleQueue()

    def read() -> None:
        try:
            found.put(_read(url))
        except KeysUnreadableError as error:
            found.put(error)

    # Looking a name up has no timeout, and of several addresses each has one: not waited for.
    threading.Thread(target=read, daemon=True).start()
    try:
        body = found.get(timeout=_LONGEST_READ_S)
    except Empty:
        raise KeysUnreadableError("no answer in time") from None
    if isinstance(body, KeysUnreadableError):
        raise body
    return body


def _read(url: str) -> bytes:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_TIMEOUT_S)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT_TIMEOUT_S, context=ssl.create_default_context()
        )

    def cut() -> None:
        # A timeout is of one read: a drip of bytes would never end.
        if connection.sock is not None:
            with contextlib.suppress(OSError):  # it has just ended by itself
                connection.sock.shutdown(socket.SHUT_RDWR)

    limit = threading.Timer(_LONGEST_READ_S, cut)
    limit.daemon = True
    limit.start()
    try:
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        connection.request("GET", target, headers={"Accept": "application/json"})
        with connection.getresponse() as answer:
            body = answer.read(_LONGEST_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise KeysUnreadableError(f"no answer: {type(error).__name__}") from error
    finally:
        limit.cancel()
        connection.close()
    if answer.status != http.client.OK:
        raise KeysUnreadableError(f"the answer is {answer.status}")
    if len(body) > _LONGEST_BYTES:
        raise KeysUnreadableError(f"the answer is over {_LONGEST_BYTES} bytes")
    if answer.length:
        raise KeysUnreadableError("the answer broke off")
    return body
