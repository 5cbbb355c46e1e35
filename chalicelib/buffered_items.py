"""The items of the buffer, valid or not: scan them, delete or replace them, and count them.

What leaves the buffer leaves it here. ``buffer`` has the form of an item.
"""

import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.buffer import CONFLICT, UNAVAILABLE, Item, raise_unavailable
from chalicelib.delete_pace import DeletePace
from chalicelib.dynamodb.dynamodb_error import DynamoDBError, Retry, retry_of
from chalicelib.errors import UnavailableError
from chalicelib.point_record import from_json

# The limits of BatchWriteItem and BatchGetItem:
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
DELETE_BATCH = 25
_GET_BATCH = 100
_BATCH_ATTEMPTS = 6
_BATCH_BACKOFF_S = 0.05
# Into how many segments a count divides the table until one fits into a response. The last suffices
# for 200 million items, and DynamoDB allows a million segments.
_SAMPLED_SEGMENTS = (1, 16, 256, 4_096, 65_536)


class BufferedItems:
    """The items of the table of accepted records.

    Args:
        client: a client of DynamoDB: ``dynamodb.client.connect``.
        table: the name of the table.
        sleep: waits for a number of seconds between two attempts at a batch.
    """

    def __init__(
        self, client: Any, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def pages(
        self, segment: int, segments: int, page_size: int, *, consistent: bool = False
    ) -> Iterator[list[Item]]:
        """Scan one of ``segments`` segments of the table in pages of at most ``page_size`` items.

        An empty page may be followed by others.

        Args:
            segment: the number of the segment, from 0.
            segments: into how many segments the table is divided.
            page_size: the maximum number of items of a page.
            consistent: return every item that was stored before the scan began; costs twice. Other
                scans may miss the newest items, and return some that are deleted.

        Raises:
            UnavailableError: DynamoDB does not respond.
        """
        request: dict[str, Any] = {
            "Segment": segment,
            "TotalSegments": segments,
            "Limit": page_size,
            **({"ConsistentRead": True} if consistent else {}),
        }
        while True:
            response = self._scan(**request)
            yield response["Items"]
            if "LastEvaluatedKey" not in response:
                return
            request["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    def delete(
        self,
        ids: Sequence[str],
        pace: DeletePace,
        may_continue: Callable[[], bool] = lambda: True,
    ) -> int:
        """Delete up to ``DELETE_BATCH`` items, and return how many are known to be deleted.

        Throttled deletes are retried at the pace, until the attempts are used up or
        ``may_continue`` returns False. A later scan returns the remaining items again.

        Raises:
            UnavailableError: DynamoDB does not respond.
        """
        requests = [{"DeleteRequest": {"Key": {"id": {"S": each}}}} for each in ids]
        for _ in range(_BATCH_ATTEMPTS):
            ticket = pace.wait(may_continue)
            if ticket is None:
                break
            try:
                response = self._client.batch_write_item(RequestItems={self._table: requests})
            except DynamoDBError as error:
                if not _is_throttled(error):
                    raise_unavailable(error)
            else:
                requests = response["UnprocessedItems"].get(self._table, [])
            if not requests:
                pace.processed(ticket)
                break
            pace.throttled(ticket)
        return len(ids) - len(requests)

    def replace(self, item: Item, record: str) -> bool:
        """Replace the record of an item, unless the item has changed; return whether it was.

        Raises:
            UnavailableError: DynamoDB does not respond. A second call is safe.
        """
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**item, "record": {"S": record}},
                ConditionExpression="#record = :before",
                ExpressionAttributeNames={"#record": "record"},
                ExpressionAttributeValues={":before": item["record"]},
            )
        except DynamoDBError as error:
            if error.code != "ConditionalCheckFailedException":
                raise_unavailable(error)
            return False
        return True

    def delete_unchanged(
        self, item: Item, pace: DeletePace, may_continue: Callable[[], bool] = lambda: True
    ) -> int:
        """Delete an invalid item, unless it has changed since; return how many were deleted.

        A delete that is throttled, or meets a transaction, is left to a later run.

        The condition is necessary. After another run has deleted the item, a phone may store a
        punch under the same id, and that punch has been acknowledged.

        Raises:
            UnavailableError: DynamoDB does not respond.
        """
        ticket = pace.wait(may_continue)
        if ticket is None:
            return 0
        # A punch differs from an invalid item in its record, not in other attributes.
        text = item.get("record", {}).get("S")
        if text is None:
            unchanged = "attribute_not_exists(#record) OR NOT attribute_type(#record, :it)"
            value = "S"
        else:
            unchanged, value = "#record = :it", text
        try:
            self._client.delete_item(
                TableName=self._table,
                Key={"id": item["id"]},
                ConditionExpression=unchanged,
                ExpressionAttributeNames={"#record": "record"},
                ExpressionAttributeValues={":it": {"S": value}},
            )
        except DynamoDBError as error:
            if _is_throttled(error):
                pace.throttled(ticket)
                return 0
            if error.code in ("ConditionalCheckFailedException", CONFLICT):
                return 0
            raise_unavailable(error)
        return 1

    def existing_ids(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are in the buffer.

        Raises:
            UnavailableError: DynamoDB does not respond, or leaves keys unprocessed.
        """
        existing: set[str] = set()
        remaining = deque(ids)
        attempts = 0
        while remaining:
            size = min(_GET_BATCH, len(remaining))
            keys = [{"id": {"S": remaining.popleft()}} for _ in range(size)]
            request = {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "id"}
            try:
                response = self._client.batch_get_item(RequestItems={self._table: request})
            except DynamoDBError as error:
                raise_unavailable(error)
            existing.update(item["id"]["S"] for item in response["Responses"].get(self._table, []))
            unprocessed = response["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"]
            remaining.extend(key["id"]["S"] for key in unprocessed)
            attempts = attempts + 1 if unprocessed else 0
            if attempts == _BATCH_ATTEMPTS:
                raise UnavailableError(UNAVAILABLE)
            if unprocessed:
                self._back_off(attempts)
        return existing

    def pending(self, max_count: int) -> dict[str, Any]:
        """Return the number of items and the age of the oldest, reading a bounded part of them.

        Up to ``max_count`` items, both are exact. Beyond, the age is that of the oldest among
        ``max_count`` items, which the hash of the key selects. The number is exact up to 1 MB of
        items; else it is extrapolated from a sample (``_count``), and ``estimated`` is true. So is
        ``acceptedLastMinute``, the number of items that were accepted in the last minute.

        Raises:
            UnavailableError: DynamoDB does not respond.
        """
        response = self._scan(Limit=max_count)
        items = response["Items"]
        accepted_at = []
        for item in items:
            # An invalid item counts, but has no age.
            with contextlib.suppress(KeyError, ValueError):
                accepted_at.append(from_json(item["record"]["S"]).created_at)
        now = datetime.now(UTC)
        age = now - min(accepted_at) if accepted_at else None
        recent = sum(each > now - timedelta(minutes=1) for each in accepted_at)
        count, estimated = len(items), False
        if "LastEvaluatedKey" in response:
            count, estimated = self._count()
        return {
            "waiting": max(count, len(items)),
            "estimated": estimated,
            "oldestAgeSeconds": None if age is None else round(age.total_seconds(), 1),
            "acceptedLastMinute": round(recent * max(1.0, count / max(1, len(items)))),
        }

    def depth(self) -> int:
        """Return the number of items, estimated from a sample if there are many.

        Raises:
            UnavailableError: DynamoDB does not respond.
        """
        return self._count()[0]

    def _count(self) -> tuple[int, bool]:
        """Return the number of items, and whether it is an estimate.

        A segment of a scan is an equal share of the table by the hash of the key, so its items
        times the number of segments is the number of items. The first segment that one response of
        1 MB can count is the sample. It has some 200 items at least: the standard error is 7 %.
        """
        counted = segments = 1
        for segments in _SAMPLED_SEGMENTS:
            segment = random.randrange(segments)  # noqa: S311 - a sample
            response = self._scan(Segment=segment, TotalSegments=segments, Select="COUNT")
            counted = response["Count"]
            if "LastEvaluatedKey" not in response:
                break
        return counted * segments, segments > 1

    def _scan(self, **request: Any) -> dict[str, Any]:
        try:
            response: dict[str, Any] = self._client.scan(TableName=self._table, **request)
        except DynamoDBError as error:
            raise_unavailable(error)
        return response

    def _back_off(self, attempt: int) -> None:
        self._sleep(random.uniform(0.5, 1) * _BATCH_BACKOFF_S * 2**attempt)  # noqa: S311 - jitter


def _is_throttled(error: DynamoDBError) -> bool:
    return retry_of(0, error.code) is Retry.THROTTLED
