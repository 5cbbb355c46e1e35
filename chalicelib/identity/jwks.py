"""Fetch, check and cache the keys of a token issuer: RFC 7517 (JWK Set), RFC 7518 (algorithms).

Invariants:

- The keys are fetched once an hour, and when a token names an unknown key; never more often than
  the pauses below allow. Every fetch is bounded in time and size.
- While the issuer is down, tokens signed with known keys are verified as before.
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

_REFRESH_INTERVAL_S = 3_600.0
# The shortest pause between two fetches: a client that invents key ids cannot cause more of them.
_PAUSE_S = 30.0
_PAUSE_AFTER_FAILURE_S = 5.0
# While the issuer is down and every requested key is known. It is longer, because a fetch that
# hangs delays the request that triggered it.
_PAUSE_WHILE_KNOWN_S = 60.0
_CONNECT_TIMEOUT_S = 2.0
_FETCH_TIMEOUT_S = 4.0
_MAX_BYTES = 262_144
_MAX_KEYS = 100
_MIN_RSA_BITS = 2_048

# The algorithm that a key of each type (kty) verifies.
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}


class JwkSetError(Exception):
    """The issuer does not respond, or its response is not a JWK Set with usable keys."""


class IssuerKeys:
    """The cached keys of an issuer.

    Args:
        read: returns the JWK Set as JSON, or raises ``JwkSetError``; see ``fetch``.
        clock: a monotonic clock, in seconds.
    """

    algorithms = ("RS256", "ES256")

    def __init__(self, read: Callable[[], bytes], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._keys: Mapping[tuple[str, str | None], jwt.PyJWK] = {}
        self._has_failed = True
        self._stale_at = self._next_refresh_at = clock()
        self._refreshing = threading.Lock()

    def key(self, algorithm: str, kid: str | None) -> jwt.PyJWK | None:
        """Return the key with this id for this algorithm; without an id, its only key, if any.

        Raises:
            UnavailableError: the key is unknown, and the issuer's keys cannot be read now.
        """
        key = self._keys.get((algorithm, kid))
        if key is None or self._clock() >= self._stale_at:
            self._refresh(wait=key is None)
            key = self._keys.get((algorithm, kid))
        if key is None and self._has_failed:
            raise UnavailableError(
                "The keys of the token issuer cannot be read now. Try again soon."
            )
        return key

    def _refresh(self, *, wait: bool) -> None:
        """Fetch the keys again, unless the last fetch was too recent.

        Only one thread fetches. With ``wait``, other threads wait until it has finished.
        """
        if not self._refreshing.acquire(
            blocking=wait, timeout=2 * _FETCH_TIMEOUT_S if wait else -1
        ):
            return
        try:
            if self._clock() < self._next_refresh_at:
                return
            try:
                self._keys = parse_jwk_set(self._read())
                self._has_failed = False
            except JwkSetError as error:
                self._has_failed = True
                telemetry.event(
                    "the keys of the token issuer cannot be read", logging.WARNING, cause=error
                )
            now = self._clock()
            self._next_refresh_at = now + (_PAUSE_AFTER_FAILURE_S if self._has_failed else _PAUSE_S)
            self._stale_at = now + (
                _PAUSE_WHILE_KNOWN_S if self._has_failed else _REFRESH_INTERVAL_S
            )
        finally:
            self._refreshing.release()


def parse_jwk_set(body: bytes) -> dict[tuple[str, str | None], jwt.PyJWK]:
    """Return the keys of a JWK Set that verify signatures, by algorithm and key id.

    Keys of other types and for other uses are ignored. So are shared secrets (``oct``), which a
    public JWK Set must not have. An algorithm's only key is also returned under the id None, for
    tokens without a ``kid``.

    Raises:
        JwkSetError: the body is not a JWK Set, or the set has no such key.
    """
    try:
        entries = json.loads(body)["keys"][:_MAX_KEYS]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise JwkSetError("the response is not a JWK Set") from error
    keys: dict[tuple[str, str | None], jwt.PyJWK] = {}
    for entry in entries:
        key = _verification_key(entry) if isinstance(entry, dict) else None
        if key is not None:
            keys.setdefault((key.algorithm_name, entry.get("kid")), key)
    if not keys:
        raise JwkSetError("the JWK Set has no key that verifies RS256 or ES256")
    for algorithm in IssuerKeys.algorithms:
        candidates = [key for (name, _), key in keys.items() if name == algorithm]
        if len(candidates) == 1:
            keys[algorithm, None] = candidates[0]
        else:
            keys.pop((algorithm, None), None)
    return keys


def _verification_key(entry: Mapping[str, Any]) -> jwt.PyJWK | None:
    """Return the key of a JWK; None if it does not verify signatures of tokens."""
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
        # Without the private member "d": this service only verifies.
        public = {name: value for name, value in entry.items() if name != "d"}
        key = jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return None if algorithm == "RS256" and key.key.key_size < _MIN_RSA_BITS else key


def fetch(url: str, timeout_s: float = _FETCH_TIMEOUT_S) -> bytes:
    """Return the body behind an http or https URL, in bounded time and size, without redirects.

    Raises:
        JwkSetError: no response within the timeout, a status other than 200, or a body that is too
            long or incomplete.
    """
    result: SimpleQueue[bytes | JwkSetError] = SimpleQueue()

    def run() -> None:
        try:
            result.put(_fetch(url, timeout_s))
        except JwkSetError as error:
            result.put(error)

    # A DNS lookup has no timeout, and the connect timeout applies to each address of a host. So a
    # thread fetches, and this one waits no longer than the timeout.
    threading.Thread(target=run, daemon=True).start()
    try:
        body = result.get(timeout=timeout_s)
    except Empty:
        raise JwkSetError("no response in time") from None
    if isinstance(body, JwkSetError):
        raise body
    return body


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
            body = response.read(_MAX_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise JwkSetError(f"no response: {type(error).__name__}") from error
    finally:
        deadline.cancel()
        connection.close()
    if response.status != http.client.OK:
        raise JwkSetError(f"the status of the response is {response.status}")
    if len(body) > _MAX_BYTES:
        raise JwkSetError(f"the response is over {_MAX_BYTES} bytes")
    if response.length:
        raise JwkSetError("the response is incomplete")
    return body
