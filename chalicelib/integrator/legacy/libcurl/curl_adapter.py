"""Make the requests of the library ``requests`` through libcurl.

requests has the API that libraries such as authlib build on. libcurl has the bounds: its timeout is
that of the whole request, with name look-up and TLS, and head and body have a size. Authorities,
certificate and proxy are set as for the calls to the legacy (``transport``), and from memory.
"""

import math
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pycurl
from requests import PreparedRequest, RequestException, Response
from requests.adapters import BaseAdapter

from chalicelib.integrator.legacy.libcurl.call_error import (
    E_PROXY,
    E_TOO_LARGE,
    E_WEIRD_SERVER_REPLY,
    refuses_credentials,
)
from chalicelib.integrator.legacy.libcurl.raw_response import decode, final_fields
from chalicelib.integrator.legacy.libcurl.transport import Transport

_MAX_HEAD_BYTES = 100_000
_MAX_BODY_BYTES = 100_000
# CURLOPT_QUICK_EXIT, which pycurl does not name: the end of a request does not wait for a name
# look-up that hangs, and that nothing can cancel.
_QUICK_EXIT = 322
# The codes of servers that were reached.
_BROKEN_RESPONSES = (
    pycurl.E_UNSUPPORTED_PROTOCOL,
    E_WEIRD_SERVER_REPLY,
    pycurl.E_BAD_CONTENT_ENCODING,
    pycurl.E_PARTIAL_FILE,
    pycurl.E_GOT_NOTHING,
    pycurl.E_SEND_ERROR,
    pycurl.E_RECV_ERROR,
    pycurl.E_FILESIZE_EXCEEDED,
    E_TOO_LARGE,
)


class CurlError(RequestException):
    """There is no whole response. The message is the reason, for people; it names no host.

    It does not refer to the request, which may carry a secret.

    Attributes:
        is_refused: whether the proxy refuses our credentials, or the server our certificate.
    """

    def __init__(self, reason: str, *, is_refused: bool) -> None:
        super().__init__(reason)
        self.is_refused = is_refused


class CurlAdapter(BaseAdapter):
    """Makes each request on a connection of its own. A redirect is a response as any other.

    Args:
        transport: authorities, certificate and proxy.
        server: what errors call the server, such as "the token endpoint".
    """

    def __init__(self, transport: Transport, server: str) -> None:
        super().__init__()
        self._transport = transport
        self._server = server

    def send(self, request: PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> Response:
        """Send a request, whose body is text or bytes, and return the response.

        ``stream``, ``verify``, ``cert`` and ``proxies`` do not count: the transport decides.
        Cookies are dropped. A Content-Encoding is undone even if it was not requested, as far as
        ``decode`` can; the bound of the body's size holds before and after.

        Args:
            request: the request.
            timeout: the timeout of the whole request, in seconds: one number, and not None.

        Raises:
            CurlError: there is no whole response within the timeout and the sizes.
        """
        head, body = bytearray(), bytearray()
        # Without Expect, libcurl would wait for a server's 100 before it sends a longer body.
        headers = ["Expect:", *(f"{name}: {value}" for name, value in request.headers.items())]
        curl = pycurl.Curl()
        try:
            self._transport.apply(curl, request.url or "")
            curl.setopt(pycurl.CUSTOMREQUEST, request.method)
            curl.setopt(pycurl.HTTPHEADER, headers)
            if request.body is not None:
                curl.setopt(pycurl.POSTFIELDS, request.body)
            curl.setopt(_QUICK_EXIT, 1)
            curl.setopt(pycurl.TIMEOUT_MS, max(1, math.ceil(timeout * 1000)))  # 0 would be none
            curl.setopt(pycurl.HEADERFUNCTION, _receive_into(head, _MAX_HEAD_BYTES))
            curl.setopt(pycurl.WRITEFUNCTION, _receive_into(body, _MAX_BODY_BYTES))
            curl.perform()
            response = Response()
            response.status_code = curl.getinfo(pycurl.RESPONSE_CODE)
        except pycurl.error as error:
            is_refused = refuses_credentials(curl, int(error.args[0]))
            reason = _reason(curl, int(error.args[0]), self._server, is_refused=is_refused)
            raise CurlError(reason, is_refused=is_refused) from None
        finally:
            curl.close()
        if (fields := final_fields(bytes(head))) is None:
            reason = f"{self._server} gave no whole response: it broke off in its headers"
            raise CurlError(reason, is_refused=False)
        content = decode(bytes(body), fields.get("content-encoding"), _MAX_BODY_BYTES + 1).body
        if len(content) > _MAX_BODY_BYTES:
            raise CurlError(f"the response of {self._server} is too long", is_refused=False)
        response.headers.update(fields)
        response.raw = BytesIO(content)
        response.request, response.url = request, request.url or ""
        return response

    def close(self) -> None:
        """Do nothing: no connection outlives its request."""


def _receive_into(buffer: bytearray, limit: int) -> Callable[[bytes], int | None]:
    """Return a callback that collects what libcurl receives, up to a number of bytes."""

    def receive(part: bytes) -> int | None:
        buffer.extend(part)
        return 0 if len(buffer) > limit else None  # 0 ends the request

    return receive


def _reason(curl: pycurl.Curl, code: int, server: str, *, is_refused: bool) -> str:
    """Return why a request failed, without the names of hosts that libcurl would add."""
    # A proxy's answer to CONNECT has a status of its own.
    if (status := curl.getinfo(pycurl.HTTP_CONNECTCODE)) >= 300:
        return f"the proxy to {server} answers HTTP {status}"
    if is_refused:
        if code == E_PROXY:
            return f"the proxy to {server} refuses our credentials"
        return f"{server} refuses our client certificate"
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return f"{server} did not answer in time"
    if code in (pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CONNECT_ERROR):
        return f"TLS with {server} failed (libcurl error {code})"
    if code == pycurl.E_SSL_CERTPROBLEM:
        return f"our client certificate for {server} cannot be used; its key may be too short"
    if code == pycurl.E_WRITE_ERROR:
        return f"the response of {server} is too long"
    if code in _BROKEN_RESPONSES:
        return f"{server} gave no whole response (libcurl error {code})"
    return f"{server} cannot be reached (libcurl error {code})"
