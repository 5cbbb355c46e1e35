"""A channel to the legacy, and a server that answers it as it is told."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chalicelib.integrator.legacy_client import Channel, Legacy
from chalicelib.integrator.outcome import Reply

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"message": "success"}'

Answer = Callable[[socket.socket], None]


class Server:
    """Reads one request after another and answers each with the next of ``answers``."""

    def __init__(self, *answers: Answer | bytes) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/point-records?unit=7"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._listener.accept()
            self.connections += 1
            with connection:
                while self._answers and (request := _read_request(connection)):
                    self.requests.append(request)
                    answer = self._answers.pop(0)
                    try:
                        if isinstance(answer, bytes):
                            connection.sendall(answer)
                        else:
                            answer(connection)
                            break
                    except OSError:  # the client has hung up
                        break

    @contextmanager
    def running(self) -> Iterator["Server"]:
        self._thread.start()
        yield self
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"}" not in request:
        part = connection.recv(65_536)
        if not part:
            break
        request += part
    return request


def channel_to(url: str, call_timeout_s: float = 5.0) -> Channel:
    return Channel(Legacy(url, 1.0, 1.0, call_timeout_s))


def send(channel: Channel) -> Reply:
    return channel.send("a-key", b'{"id": "a-key"}')


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def send_until_expired(channel: Channel) -> Reply:
    """Send, in a thread, and look for what takes too long until it ends."""
    replies: list[Reply] = []
    caller = threading.Thread(target=lambda: replies.append(send(channel)))
    caller.start()
    deadline = time.monotonic() + 10
    while caller.is_alive() and time.monotonic() < deadline:
        channel.expire()
        caller.join(0.05)
    (reply,) = replies
    return reply
