"""Read the buffer for the replicator: all segments of a share at once, as one iterator of pages."""

import queue
import threading
from collections.abc import Iterator

from chalicelib.buffer import Item
from chalicelib.buffered_items import BufferedItems
from chalicelib.postgres.replication_shares import Share

# How often a thread that waits for the queue checks whether the run has ended.
_POLL_S = 0.1


class BufferScan:
    """Scans the segments of a share, one thread per segment, as one iterator of pages.

    A bounded queue is the backpressure: it holds one page per segment. Leaving the context stops
    the threads. The iterator yields an empty page while it waits, so that its consumer can check
    the time.

    Args:
        items: the source.
        share: the part of the buffer to scan.
        segments: the number of parallel scans.
        page: the maximum number of items of a page.
    """

    def __init__(self, items: BufferedItems, share: Share, segments: int, page: int) -> None:
        self._pages: queue.Queue[list[Item] | Exception | None] = queue.Queue(segments)
        self._ended = threading.Event()
        first, of = share.number * segments, share.shares * segments
        self._readers = [
            threading.Thread(target=self._read, args=(items.pages(segment, of, page),), daemon=True)
            for segment in range(first, first + segments)
        ]

    def __enter__(self) -> Iterator[list[Item]]:
        for reader in self._readers:
            reader.start()
        return self._received()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for reader in self._readers:
            reader.join()

    def _received(self) -> Iterator[list[Item]]:
        active = len(self._readers)
        while active:
            try:
                page = self._pages.get(timeout=_POLL_S)
            except queue.Empty:
                yield []  # lets the consumer check the time
                continue
            if page is None:
                active -= 1
            elif isinstance(page, Exception):
                raise page
            else:
                yield page

    def _read(self, pages: Iterator[list[Item]]) -> None:
        try:
            for page in pages:
                if not self._put(page):
                    return
        except Exception as error:  # noqa: BLE001 - the consumer raises it
            self._put(error)
        self._put(None)

    def _put(self, page: list[Item] | Exception | None) -> bool:
        """Put a page into the queue; return False if the run has ended."""
        while not self._ended.is_set():
            try:
                self._pages.put(page, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
