"""Request an access token by the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).

One form is sent, and one JSON object is read, within a deadline and a size. What goes wrong is a
``TokenError``, whose reason names no host and quotes no secret: employees may read it.
"""

import json
import math
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import quote_plus, urlencode, urlsplit

import pycurl

from chalicelib.integrator.legacy.call_error import refuses_credentials
from chalicelib.integrator.legacy.transport import Transport
from chalicelib.net import is_http_url, is_loopback
from chalicelib.settings import SettingsError

_MAX_BODY_BYTES = 100_000
_MAX_HEAD_BYTES = 100_000
# The errors of RFC 6749, section 5.2, and what servers add: an operator must change a setting.
_REFUSALS = frozenset(
    {
        *("invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type"),
        *("invalid_scope", "invalid_request", "access_denied", "invalid_target"),
    }
)
# The part of its lifetime after which a token is renewed.
_RENEW_AFTER = 0.75
# Of this part, but at most so many seconds before its end, a token is not used any more: a call
# takes time to arrive.
_UNUSABLE = 0.1
_MAX_UNUSABLE_S = 10.0
# A token without a known lifetime is renewed after this time, and used until it is refused.
_RENEW_UNKNOWN_AFTER_S = 300.0
_MIN_LIFETIME_S = 1.0
# A token is used at least this long after it has arrived, even if the token endpoint answered so
# late that it may have expired. Otherwise no call would ever be sent.
_MIN_USE_S = 1.0
_MAX_LIFETIME_S = 86_400.0


class TokenError(Exception):
    """No token was issued. The message is the reason, for people.

    Attributes:
        is_refused: whether the token endpoint refuses our client, so that an operator must act.
        details: what the token endpoint says about it, for operators; it may quote secrets.
    """

    def __init__(self, reason: str, *, is_refused: bool = False, details: str = "") -> None:
        super().__init__(reason)
        self.is_refused = is_refused
        self.details = details


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """An access token. Instants are in seconds of ``time.time``."""

    text: str = field(repr=False)
    issued_at: float
    renew_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class TokenClient:
    """Our client at the token endpoint; ``Settings`` describes each value.

    Raises:
        SettingsError: the URL is not one of https, or of http on this machine.
    """

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    sends_secret_in_body: bool
    scope: str
    audience: str
    encodes_basic: bool = True

    def __post_init__(self) -> None:
        url = urlsplit(self.url) if is_http_url(self.url) else None
        if url is None or (url.scheme != "https" and not is_loopback(url.hostname)):
            raise SettingsError(
                "LEGACY_TOKEN_URL must be a URL such as https://issuer.example/token. Without"
                " TLS, http, it may only lead to this machine."
            )

    def request(
        self, transport: Transport, timeout_s: float, clock: Callable[[], float] = time.time
    ) -> Token:
        """Request a new token.

        Args:
            transport: how to reach the token endpoint.
            timeout_s: the timeout of the whole request, with name look-up and TLS.
            clock: the wall clock, in seconds.

        Raises:
            TokenError: no token was issued.
        """
        requested_at = clock()  # the lifetime starts at the latest when the response arrives
        status, body = self._post(transport, timeout_s)
        token = _read_token(status, body, requested_at)
        return replace(token, expires_at=max(token.expires_at, clock() + _MIN_USE_S))

    def _post(self, transport: Transport, timeout_s: float) -> tuple[int, bytes]:
        """Send the form; return the status and the body."""
        head, body = bytearray(), bytearray()

        def receive_into(buffer: bytearray, limit: int) -> Callable[[bytes], int | None]:
            def receive(part: bytes) -> int | None:
                buffer.extend(part)
                return 0 if len(buffer) > limit else None  # 0 ends the request

            return receive

        curl = pycurl.Curl()
        try:
            curl.setopt(pycurl.TIMEOUT_MS, math.ceil(timeout_s * 1000))
            curl.setopt(pycurl.HEADERFUNCTION, receive_into(head, _MAX_HEAD_BYTES))
            curl.setopt(pycurl.WRITEFUNCTION, receive_into(body, _MAX_BODY_BYTES))
            curl.setopt(pycurl.HTTPHEADER, self._headers())
            curl.setopt(pycurl.POSTFIELDS, self._form())
            transport.apply(curl, self.url)
            curl.perform()
            return curl.getinfo(pycurl.RESPONSE_CODE), bytes(body)
        except pycurl.error as error:
            # A proxy's answer to CONNECT has a status of its own.
            if (status := curl.getinfo(pycurl.HTTP_CONNECTCODE)) >= 300:
                raise TokenError(
                    f"the proxy to the token endpoint answers HTTP {status}",
                    is_refused=status in (401, 403, 407),
                ) from None
            code = int(error.args[0])
            is_refused = refuses_credentials(curl, code)
            raise TokenError(_reason_of(code), is_refused=is_refused) from None
        finally:
            curl.close()

    def _headers(self) -> list[str]:
        headers = [
            "Accept: application/json",
            "Content-Type: application/x-www-form-urlencoded",
            "Expect:",
        ]
        if not self.sends_secret_in_body:
            headers.append(f"Authorization: Basic {self.basic}")
        return headers

    @property
    def basic(self) -> str:
        """The client id and secret as Basic credentials.

        RFC 6749, section 2.3.1, has them form-encoded. Many servers do not decode them.
        """
        encode = quote_plus if self.encodes_basic else str
        pair = f"{encode(self.client_id)}:{encode(self.client_secret)}"
        return b64encode(pair.encode()).decode()

    def _form(self) -> str:
        fields = {
            "grant_type": "client_credentials",
            "scope": self.scope,
            "audience": self.audience,
        }
        if self.sends_secret_in_body:
            fields |= {"client_id": self.client_id, "client_secret": self.client_secret}
        return urlencode({name: value for name, value in fields.items() if value})


def _reason_of(code: int) -> str:
    """Return what a code of libcurl means, without the names of hosts that libcurl would add."""
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return "the token endpoint did not answer in time"
    if code in (pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CONNECT_ERROR):
        return f"TLS with the token endpoint failed (libcurl error {code})"
    if code == pycurl.E_WRITE_ERROR:
        return "the response of the token endpoint is too long"
    return f"the token endpoint cannot be reached (libcurl error {code})"


def _read_token(status: int, body: bytes, requested_at: float) -> Token:
    """Read the response of the token endpoint.

    Raises:
        TokenError: it contains no token that calls can carry.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    fields = document if isinstance(document, dict) else {}
    # Some servers send their errors with 200.
    if not 200 <= status < 300 or (fields.get("error") and not fields.get("access_token")):
        raise _refusal(status, fields)
    text, kind = fields.get("access_token"), fields.get("token_type", "Bearer")
    if not (isinstance(text, str) and is_token(text)):
        raise TokenError(f"the token endpoint answers HTTP {status} without an access token")
    if not (isinstance(kind, str) and kind.lower() == "bearer"):
        raise TokenError("the token endpoint issues tokens of another type than Bearer")
    lifetime_s = _lifetime_s(fields.get("expires_in"))
    if lifetime_s is None:
        renew_after_s, expires_after_s = _RENEW_UNKNOWN_AFTER_S, math.inf
    else:
        renew_after_s = lifetime_s * _RENEW_AFTER
        expires_after_s = lifetime_s - min(_MAX_UNUSABLE_S, lifetime_s * _UNUSABLE)
    return Token(text, requested_at, requested_at + renew_after_s, requested_at + expires_after_s)


def _refusal(status: int, fields: dict[str, object]) -> TokenError:
    """Return the error of a response that is no success."""
    error = fields.get("error")
    if isinstance(error, str) and error in _REFUSALS and status < 500:
        reason = f"the token endpoint refuses our client: {error} (HTTP {status})"
        return TokenError(
            reason, is_refused=True, details=str(fields.get("error_description", ""))[:500]
        )
    reason = f"the token endpoint answers HTTP {status}"
    return TokenError(reason, is_refused=status in (401, 403, 407))


def _lifetime_s(value: object) -> float | None:
    """Return the ``expires_in`` of a token, which some servers send as text; None if unknown.

    Some servers send 0 or -1 for a token that does not expire.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    if math.isnan(seconds) or seconds <= 0:
        return None
    return min(_MAX_LIFETIME_S, max(_MIN_LIFETIME_S, seconds))


def is_token(text: str) -> bool:
    """Return whether a text can be sent as a Bearer token: printable ASCII without spaces."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
