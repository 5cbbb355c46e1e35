"""Delete the items of committed pages from the buffer, with several deletes in flight.

Invariant: an item is deleted only if its page may leave the buffer. An item that was quarantined is
deleted only if it is unchanged: a phone may have stored a punch under its key meanwhile.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from chalicelib.buffer import Item
from chalicelib.buffered_items import DELETE_BATCH, BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.replicator.page_commit import CommittedPage, key_of


class PageDeletes:
    """The deletes of one sweep. Leaving the context waits for those in flight.

    If the context is left by an exception, no further delete begins: a later run reads the items
    again.

    Args:
        items: the items of the buffer.
        pace: decides when each delete may go out.
        threads: the maximum number of deletes in flight.
        may_continue: returns whether there is time for another delete.
    """

    def __init__(
        self,
        items: BufferedItems,
        pace: DeletePace,
        threads: int,
        may_continue: Callable[[], bool],
    ) -> None:
        self._items = items
        self._pace = pace
        self._pool = ThreadPoolExecutor(threads)
        self._may_continue = may_continue
        self._deletes: deque[Future[int]] = deque()
        self._failed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._failed.set()
        self._pool.shutdown()

    def submit(
        self, items: Sequence[Item], page: CommittedPage, may_leave: Callable[[], bool]
    ) -> None:
        """Begin to delete the items of a page, all but those that wait.

        Args:
            items: the items of the page.
            page: the page.
            may_leave: returns whether the page may leave the buffer, once that is known.
        """
        quarantined = {each.item_id for each in page.quarantined}
        staying = quarantined | page.waiting
        keys = [each for each in map(key_of, items) if each not in staying]
        for first in range(0, len(keys), DELETE_BATCH):
            batch = keys[first : first + DELETE_BATCH]
            self._deletes.append(self._pool.submit(self._delete, batch, may_leave))
        for item in items:
            if key_of(item) in quarantined:
                self._deletes.append(self._pool.submit(self._delete_unchanged, item, may_leave))

    def ended(self, most: int) -> Iterator[int]:
        """Wait until at most ``most`` deletes are left; yield how many items each other deleted.

        Raises:
            UnavailableError: DynamoDB does not respond.
        """
        while len(self._deletes) > most:
            yield self._deletes.popleft().result()

    def _delete(self, keys: Sequence[str], may_leave: Callable[[], bool]) -> int:
        return self._items.delete(keys, self._pace, self._may_delete) if may_leave() else 0

    def _delete_unchanged(self, item: Item, may_leave: Callable[[], bool]) -> int:
        return (
            self._items.delete_unchanged(item, self._pace, self._may_delete) if may_leave() else 0
        )

    def _may_delete(self) -> bool:
        return not self._failed.is_set() and self._may_continue()
