"""A DynamoDB endpoint that answers at once, so that only our own cost is measured.

It serves a table of ``--items`` records once: each Scan returns the next page. Every PutItem and
BatchWriteItem succeeds. All responses are made before it starts.
"""

import argparse
import json
from collections.abc import Iterator

from bench.instant_http import serve
from bench.punches import punch
from chalicelib.point_record import to_json

_LAST = json.dumps({"Items": [], "Count": 0, "ScannedCount": 0}).encode()
_JSON = b"application/x-amz-json-1.0"
_DELETED = b'{"UnprocessedItems": {}}'
_STORED = b"{}"


def _pages(items: int, page: int) -> Iterator[bytes]:
    for first in range(0, items, page):
        records = [punch() for _ in range(min(page, items - first))]
        items_json = [
            {"id": {"S": str(each.id)}, "record": {"S": json.dumps(to_json(each))}}
            for each in records
        ]
        key = {"id": {"S": "next"}}
        yield json.dumps(
            {"Items": items_json, "Count": len(items_json), "LastEvaluatedKey": key}
        ).encode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--page", type=int, default=1)
    arguments = parser.parse_args()
    pages = list(_pages(arguments.items, arguments.page))

    def answer(head: bytes) -> tuple[bytes, bytes]:
        if b".scan\r\n" in head + b"\r\n":
            return _JSON, pages.pop() if pages else _LAST
        return _JSON, _STORED if b".putitem\r\n" in head else _DELETED

    serve(answer)
