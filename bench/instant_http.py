"""An HTTP server that answers at once, so that only our own cost is measured.

It has one thread, supports keep-alive without pipelining, and nothing else of HTTP.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Maps a request's head, in lower case, to content type and body of the response.
Answer = Callable[[bytes], tuple[bytes, bytes]]


class _Endpoint(asyncio.Protocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received = body[length:]
        kind, answer = self._answer(lowered)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (kind, len(answer), answer)
        )


async def _serve(answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Endpoint(answer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await server.serve_forever()


def serve(answer: Answer) -> None:
    """Serve until killed; print the URL as JSON in the first line."""
    asyncio.run(_serve(answer))


@contextmanager
def running(module: str, *arguments: str) -> Iterator[str]:
    """Run a serving module in a process of its own and yield its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True
    ) as endpoint:
        assert endpoint.stdout is not None
        try:
            yield json.loads(endpoint.stdout.readline())["url"]
        finally:
            endpoint.terminate()
