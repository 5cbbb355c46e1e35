"""The legacy as a call sees it: its URL, timeouts and headers, and libcurl's options for them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pycurl

from chalicelib.integrator.legacy.libcurl.raw_response import MAX_BODY_BYTES
from chalicelib.integrator.legacy.messages.request_format import DEFAULT_FORMAT, RequestFormat
from chalicelib.net import is_http_url
from chalicelib.settings import SettingsError

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.authentication.shared_credentials import LegacyCredentials
    from chalicelib.integrator.legacy.messages.response_conditions import ResponseConditions

# libcurl's speed is a mean of some five seconds: it reports silence this much after LOW_SPEED_TIME.
_SPEED_WINDOW_S = 6
# With 1, a call is sometimes called silent after its first second, before libcurl knows its speed.
_MIN_LOW_SPEED_S = 2
# A legacy that fails over to another address is found after this time. libcurl would keep the
# first address for a minute, and a connection to a server that goes on answering for a day.
_NAME_KEPT_S = 5
_CONNECTION_KEPT_S = 60
_CONNECTION_JITTER = (0.75, 1.25)
_HEADERS = (
    "Accept-Encoding: identity",
    "Expect:",  # libcurl must not wait for a 100 Continue
)
# libcurl, for which each request is a POST, must not write these.
_NO_BODY = ("Content-Type:", "Content-Length:")


@dataclass(frozen=True, slots=True)
class LegacyEndpoint:
    """The URL of the legacy and the timeouts of a call, in seconds.

    ``connect_timeout_s`` bounds the name look-up and the connection, however many addresses are
    tried. ``call_timeout_s`` bounds the whole call. ``read_timeout_s`` is how long the
    legacy may send nothing: rounded up to whole seconds, and at least 8, since libcurl averages
    the speed. ``keep_alive_s`` is how long an idle connection is kept.

    ``request`` is the format of the requests. ``conditions`` judge the responses before the rules
    of ``outcome`` do, if there are any. ``credentials`` are what the legacy asks for, if anything.

    Raises:
        SettingsError: ``url`` is not an HTTP URL. Calls to it would look like an endless outage.
    """

    url: str
    connect_timeout_s: float
    read_timeout_s: float
    call_timeout_s: float
    request: RequestFormat = DEFAULT_FORMAT
    conditions: ResponseConditions | None = None
    credentials: LegacyCredentials | None = None
    keep_alive_s: float = 4.0

    def __post_init__(self) -> None:
        if not is_http_url(self.url):
            raise SettingsError(
                "LEGACY_URL must be a URL such as https://legacy.example/point-records"
            )

    def apply(self, curl: pycurl.Curl) -> None:
        """Set the options of a new handle that ``Transport`` does not set, and no call changes."""
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.CUSTOMREQUEST, self.request.method)
        curl.setopt(pycurl.MAXREDIRS, 3)  # bounds the answers to challenges of Digest as well
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.MAXCONNECTS, 1)
        curl.setopt(pycurl.DNS_CACHE_TIMEOUT, _NAME_KEPT_S)
        # Connections that were opened at once must not all need a handshake at once again.
        jitter = random.uniform(*_CONNECTION_JITTER)  # noqa: S311 - no secret
        curl.setopt(pycurl.MAXLIFETIME_CONN, round(_CONNECTION_KEPT_S * jitter))
        # A longer body ends the response; then a 2xx is unreadable, and another status counts.
        curl.setopt(pycurl.MAXFILESIZE, MAX_BODY_BYTES)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, milliseconds(self.connect_timeout_s))
        curl.setopt(pycurl.TIMEOUT_MS, milliseconds(self.call_timeout_s))
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        silence_s = math.ceil(self.read_timeout_s) - _SPEED_WINDOW_S
        curl.setopt(pycurl.LOW_SPEED_TIME, max(_MIN_LOW_SPEED_S, silence_s))

    def header_lines(self) -> list[str]:
        """Return the header lines of every request, as libcurl takes them."""
        request = self.request
        return [
            *_HEADERS,
            *(() if request.has_body else _NO_BODY),
            *(_curl_header(each) for each in request.headers),
        ]


def milliseconds(seconds: float) -> int:
    """Return a timeout for libcurl: at least 1, since libcurl takes 0 for no timeout."""
    return max(1, math.ceil(seconds * 1000))


def _curl_header(line: str) -> str:
    """Return a header line for libcurl, which takes a line without a value for a removal."""
    name, _, value = line.partition(": ")
    return line if value else f"{name};"
