"""Request an access token by the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).

authlib makes the request, with requests and libcurl, within a deadline and a size. What goes wrong
is a ``TokenError``, whose reason names no host and quotes no secret: employees may read it.
"""

import math
import time
from base64 import b64encode
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import quote_plus, urlsplit

from authlib.integrations.requests_client import OAuth2Session
from requests import RequestException, Response

from chalicelib.integrator.legacy.authentication.access_token import Token, TokenError, is_token
from chalicelib.integrator.legacy.libcurl.curl_adapter import CurlAdapter, CurlError
from chalicelib.integrator.legacy.libcurl.transport import Transport
from chalicelib.integrator.legacy.messages.retry_after import requested_wait_s
from chalicelib.integrator.outcome import CREDENTIALS_REFUSED, parse_json
from chalicelib.net import is_http_url, is_loopback
from chalicelib.settings import SettingsError

# The errors of RFC 6749, section 5.2, and what servers add: an operator must change a setting.
_REFUSALS = frozenset(
    {
        *("invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type"),
        *("invalid_scope", "invalid_request", "access_denied", "invalid_target"),
    }
)
# The types of tokens that need a proof or a signature (RFC 9449, RFC 9200, the drafts of MAC), and
# that of no access token (RFC 8693). Other names are those of Bearer: Apigee's is "BearerToken".
_OTHER_TYPES = frozenset({"dpop", "hmac", "mac", "n_a", "pop"})
# A token is renewed after this share of its lifetime.
_RENEW_AFTER_SHARE = 0.75
# A call takes time to arrive, so the end of a token's lifetime is not used: this share of it, but
# no more than so many seconds.
_UNUSED_SHARE = 0.1
_MAX_UNUSED_S = 10.0
# A token without a known lifetime is renewed after this time, and used until it is refused.
_RENEW_UNKNOWN_AFTER_S = 300.0
_MIN_LIFETIME_S = 1.0
# A token is used at least this long after it has arrived, even if the token endpoint answered so
# late that it may have expired. Otherwise no call would ever be sent.
_MIN_USE_S = 1.0
_MAX_LIFETIME_S = 86_400.0


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
                "LEGACY_TOKEN_URL must be an https URL without user and password, such as"
                " https://issuer.example/token. An http URL may only lead to this machine."
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
        try:
            response = self._session(transport).fetch_token(
                self.url,
                grant_type="client_credentials",
                scope=self.scope,
                audience=self.audience,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=timeout_s,
            )
        except CurlError as error:
            raise TokenError(str(error), is_refused=error.is_refused) from None
        except RequestException as error:  # its message would quote the URL
            reason = f"the token endpoint cannot be reached ({type(error).__name__})"
            raise TokenError(reason) from None
        token = _read_token(response, requested_at)
        return replace(token, expires_at=max(token.expires_at, clock() + _MIN_USE_S))

    def _session(self, transport: Transport) -> "_Session":
        method = "client_secret_post" if self.sends_secret_in_body else self._add_basic
        session = _Session(
            self.client_id, self.client_secret, token_endpoint_auth_method=method, trust_env=False
        )
        session.headers.clear()  # they name the versions of libraries
        for scheme in ("https://", "http://"):
            session.mount(scheme, CurlAdapter(transport, "the token endpoint"))
        return session

    def _add_basic(
        self, _: object, _method: str, url: str, headers: MutableMapping[str, str], body: str
    ) -> tuple[str, MutableMapping[str, str], str]:
        """Authenticate our client: a method for authlib, whose own encodes in Latin-1."""
        headers["Authorization"] = f"Basic {self.basic}"
        return url, headers, body

    @property
    def basic(self) -> str:
        """The client id and secret as Basic credentials.

        RFC 6749, section 2.3.1, has them form-encoded. Many servers do not decode them.
        """
        encode = quote_plus if self.encodes_basic else str
        pair = f"{encode(self.client_id)}:{encode(self.client_secret)}"
        return b64encode(pair.encode()).decode()


class _Session(OAuth2Session):
    """A session of authlib that leaves the response as it is."""

    def parse_response_token(self, resp: Response) -> Response:
        """Return the response for ``_read_token``.

        authlib fails on an ``expires_in`` such as "3600.5", and takes an empty object for a token.
        """
        return resp

    def get_redirect_target(self, _: Response) -> None:
        """Return None: requests parses the target even if it is not to follow it, and may fail."""


def _read_token(response: Response, requested_at: float) -> Token:
    """Read the response of the token endpoint.

    Raises:
        TokenError: it contains no token that calls can carry.
    """
    status = response.status_code
    try:
        document = parse_json(response.content)
    except (ValueError, RecursionError):
        document = None
    fields = document if isinstance(document, dict) else {}
    # Some servers send their errors with 200.
    if not 200 <= status < 300 or (fields.get("error") and not fields.get("access_token")):
        now = datetime.fromtimestamp(requested_at, UTC)
        retry_after_s = requested_wait_s(response.headers, status, now) or 0.0
        raise _refusal(status, fields, retry_after_s)
    text, kind = fields.get("access_token"), fields.get("token_type")
    if not (isinstance(text, str) and is_token(text)):
        raise TokenError(f"the token endpoint answers HTTP {status} without an access token")
    # RFC 6749, section 5.1, requires a type, but some servers send none, or a name of their own.
    if isinstance(kind, str) and kind.strip().lower() in _OTHER_TYPES:
        raise TokenError("the token endpoint issues tokens of another type than Bearer")
    lifetime_s = _lifetime_s(fields.get("expires_in"))
    if lifetime_s is None:
        renew_after_s, expires_after_s = _RENEW_UNKNOWN_AFTER_S, math.inf
    else:
        renew_after_s = lifetime_s * _RENEW_AFTER_SHARE
        expires_after_s = lifetime_s - min(_MAX_UNUSED_S, lifetime_s * _UNUSED_SHARE)
    return Token(text, requested_at + renew_after_s, requested_at + expires_after_s)


def _refusal(status: int, fields: dict[str, object], retry_after_s: float) -> TokenError:
    """Return the error of a response that is no success."""
    error = fields.get("error")
    if isinstance(error, str) and error in _REFUSALS and status < 500:
        reason = f"the token endpoint refuses our client: {error} (HTTP {status})"
        details = str(fields.get("error_description", ""))[:500]
        return TokenError(reason, is_refused=True, details=details, retry_after_s=retry_after_s)
    reason = f"the token endpoint answers HTTP {status}"
    is_refused = status in CREDENTIALS_REFUSED
    return TokenError(reason, is_refused=is_refused, retry_after_s=retry_after_s)


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
