"""A stand-in for DynamoDB's protocol that answers at once, to see our own bound alone.

It serves a table of ``--items`` records once: each Scan gives the next page until all are out.
Every BatchWriteItem succeeds. What it says is made before it starts and costs next to nothing.
"""

import argparse
import asyncio
import json
from collections.abc import Iterator

from bench.punches import punch
from chalicelib.point_record import to_json

_LAST = json.dumps({"Items": [], "Count": 0, "ScannedCount": 0}).encode()
_DELETED = b'{"UnprocessedItems": {}}'


def _pages(items: int, page: int) -> Iterator[bytes]:
    for first in range(0, items, page):
        records = [punch() for _ in range(min(page, items - first))]
        found = [
            {"id": {"S": str(each.id)}, "record": {"S": json.dumps(to_json(each))}}
            for each in records
        ]
        key = {"id": {"S": "next"}}
        yield json.dumps({"Items": found, "Count": len(found), "LastEvaluatedKey": key}).encode()


class _Endpoint(asyncio.Protocol):
    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        lowered = head.lower()
        if not separator:
            return
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received = body[length:]
        if b".scan\r\n" in lowered + b"\r\n":
            answer = self._pages.pop() if self._pages else _LAST
        else:
            answer = _DELETED
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
            b"Content-Length: %d\r\n\r\n" % len(answer) + answer
        )


async def _serve(pages: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Endpoint(pages), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--page", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(list(_pages(arguments.items, arguments.page))))
