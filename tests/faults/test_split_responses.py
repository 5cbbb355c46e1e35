"""A server that sends head and body apart waits for the acknowledgement of the head.

With Nagle's algorithm on, as by default, it sends the body when we have acknowledged the head.
"""

import socket
import sys
import threading

import pycurl
import pytest

from chalicelib.integrator.transfers import Transfers
from tests.support.scripted_server import SUCCESS, ScriptedServer, connection_to


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a socket acknowledge at once")
def test_a_response_on_a_kept_connection_is_acknowledged_at_once() -> None:
    may_answer = threading.Event()

    def answer_later(peer: socket.socket) -> None:
        may_answer.wait(5)
        peer.sendall(SUCCESS)

    # After some requests and responses the system would delay its acknowledgements.
    with ScriptedServer(*[SUCCESS] * 5, answer_later).running() as server:
        connection = connection_to(server.url)
        transfers = Transfers()
        for number in range(6):
            handle = next(connection.call("a-key", b"{}"))
            transfers.start(handle)
            if number == 5:
                assert transfers.wait(0.1) == []
                assert _acknowledges_at_once(handle)
                may_answer.set()
            assert transfers.wait(5) == [(handle, pycurl.E_OK)]
        transfers.close()
        connection.close()
    assert server.connections == 1


def _acknowledges_at_once(handle: pycurl.Curl) -> bool:
    descriptor = socket.socket(fileno=handle.getinfo(pycurl.ACTIVESOCKET))
    try:
        return bool(descriptor.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))
    finally:
        descriptor.detach()
