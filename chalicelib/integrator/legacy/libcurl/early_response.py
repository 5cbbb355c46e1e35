"""Detect a response that began to arrive before its request was sent: it is of another record.

A server may send two responses to one request. Without TLS, libcurl finds the second one in its own
buffer. With TLS, OpenSSL reads ahead, so it may wait in OpenSSL's buffer, where
``LegacyConnection.is_quiet`` does not see it. libcurl would take it for the response to the next
request.
"""

import pycurl

from chalicelib.integrator.legacy.libcurl.raw_response import ResponseBuffer
from chalicelib.integrator.legacy.libcurl.tcp_info import received_bytes


class EarlyResponse:
    """Compares what a connection has received since a request with the size of the response.

    Args:
        curl: the handle of the connection, which uses TLS.
        response: the response to the last request.
    """

    def __init__(self, curl: pycurl.Curl, response: ResponseBuffer) -> None:
        self._curl = curl
        self._response = response
        self._received_before: int | None = None

    def before_request(self) -> None:
        """Note how much the connection has received; to be called before a request is sent."""
        self._received_before = self._received()

    def has_happened(self) -> bool:
        """Return whether a part of the response arrived before its request was sent.

        It is not noticed if the true response has arrived by now.
        """
        if self._received_before is None or self._curl.getinfo(pycurl.NUM_CONNECTS):
            return False
        received_now = self._received()
        size = len(self._response.head) + len(self._response.body)
        return received_now is not None and received_now - self._received_before < size

    def _received(self) -> int | None:
        return received_bytes(self._curl.getinfo(pycurl.ACTIVESOCKET))
