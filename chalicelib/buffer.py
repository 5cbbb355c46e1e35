"""The buffer: the DynamoDB table of what is accepted and not yet in the replica.

An item is a key and one text, ``{"id": {"S": …}, "record": {"S": …}}``: the record as JSON
(docs/decisions/0001). Promises that a put that returns has been stored, and that the same punch is
stored once. What an item means is for others to judge: a scan returns whatever the table holds.
"""

import contextlib
import json
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import NotImplementedByServiceError, UnavailableError
from chalicelib.point_record import PointRecord, from_json, to_json

Item = dict[str, Any]

# Neither BatchWriteItem nor BatchGetItem takes more: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
DELETE_BATCH = 25
_GET_BATCH = 100
_BATCH_TRIES = 6
_BATCH_BACKOFF_S = 0.05
_PUT_TRIES = 3
# TransactWriteItems takes no more.
_TRANSACTION = 100


class Buffer:
    """The table, spoken to through a low-level client (``boto3.client("dynamodb")``)."""

    def __init__(
        self, client: Any, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def put(self, record: PointRecord) -> tuple[PointRecord, bool]:
        """Store the record unless its punch is stored already.

        Returns:
            The record that the table holds, and whether this call (or a try of it whose answer was
            lost) stored it.

        Raises:
            UnavailableError: it is not known to be stored; putting it again is safe.
        """
        for _ in range(_PUT_TRIES):
            #   phone A ── put ──▶ stored                       201
            #   phone B ── put ──▶ refused, returns A's item    200
            #   replicator ─────────────────── delete ──▶
            #   phone C ── put ────▶ refused ── get ──▶ gone: put again, dissolves in the replica
            try:
                self._client.put_item(**self._put_of(record))
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    _raise_unavailable(error)
                item = error.response.get("Item") or self._get(str(record.id))
                if item is None:
                    continue
                stored = _read(item)
                return stored, stored == record
            except BotoCoreError as error:
                _raise_unavailable(error)
            else:
                return record, True
        raise UnavailableError("The record could not be stored. Try again.")

    def put_together(self, records: Sequence[PointRecord]) -> list[tuple[PointRecord, bool]]:
        """Store all of the records or none; a punch that is stored already is as good as stored.

        Returns:
            For each what ``put`` returns.

        Raises:
            UnavailableError: they are not known to be stored; putting them again is safe.
            NotImplementedByServiceError: they are more than the table takes together.
        """
        wanted: dict[str, PointRecord] = {}
        for each in records:
            wanted.setdefault(str(each.id), each)
        if len(wanted) > _TRANSACTION:
            raise NotImplementedByServiceError(
                f"More than {_TRANSACTION} records cannot be stored together."
            )
        stored: dict[str, PointRecord] = {}
        for _ in range(_PUT_TRIES):
            new = [each for name, each in wanted.items() if name not in stored]
            try:
                if new:
                    items = [{"Put": self._put_of(each)} for each in new]
                    self._client.transact_write_items(TransactItems=items)
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionCanceledException":
                    _raise_unavailable(error)
                # Some are there already, or somebody is putting one of them just now.
                stored |= self._stored(new, error.response["CancellationReasons"])
            except BotoCoreError as error:
                _raise_unavailable(error)
            else:
                found = wanted | stored
                # What is there and is the same is that of a try whose answer was lost.
                return [(found[str(each.id)], found[str(each.id)] == each) for each in records]
        raise UnavailableError("The records could not be stored. Try again.")

    def _stored(
        self, records: Sequence[PointRecord], reasons: Sequence[Item]
    ) -> dict[str, PointRecord]:
        """Return which records a transaction found in the table already, by their ids."""
        found = {}
        for record, reason in zip(records, reasons, strict=True):
            if reason["Code"] == "ConditionalCheckFailed":
                item = reason.get("Item") or self._get(str(record.id))
                if item:
                    found[str(record.id)] = _read(item)
        return found

    def _put_of(self, record: PointRecord) -> Item:
        return {
            "TableName": self._table,
            "Item": {
                "id": {"S": str(record.id)},
                "record": {"S": json.dumps(to_json(record), separators=(",", ":"))},
            },
            "ConditionExpression": "attribute_not_exists(id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def get(self, record_id: str) -> PointRecord | None:
        """Return the record of that id, or None if it is not (or no longer) here.

        Raises:
            UnavailableError: the buffer does not answer.
        """
        item = self._get(record_id)
        return _read(item) if item else None

    def pages(self, segment: int, segments: int, page: int) -> Iterator[list[Item]]:
        """Yield the items of one of ``segments`` parts of the table, at most ``page`` at a time.

        A page may be empty and still not the last.

        Raises:
            UnavailableError: the buffer does not answer.
        """
        request = {
            "TableName": self._table,
            "Segment": segment,
            "TotalSegments": segments,
            "Limit": page,
        }
        while True:
            try:
                answer = self._client.scan(**request)
            except (ClientError, BotoCoreError) as error:
                _raise_unavailable(error)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def delete(self, ids: Sequence[str], may_go_on: Callable[[], bool] = lambda: True) -> int:
        """Delete up to ``DELETE_BATCH`` items and return how many are known to be gone.

        What the table would not take after some tries, or until ``may_go_on`` says no, is left, to
        be met again by a later scan.

        Raises:
            UnavailableError: the buffer does not answer.
        """
        requests = [{"DeleteRequest": {"Key": {"id": {"S": each}}}} for each in ids]
        for attempt in range(_BATCH_TRIES):
            if attempt:
                self._back_off(attempt)
            if not may_go_on():
                break
            try:
                answer = self._client.batch_write_item(RequestItems={self._table: requests})
            except (ClientError, BotoCoreError) as error:
                _raise_unavailable(error)
            requests = answer["UnprocessedItems"].get(self._table, [])
            if not requests:
                break
        return len(ids) - len(requests)

    def discard(self, item: Item) -> int:
        """Delete an item that is no record, unless another stands in its place by now.

        A key alone would not do: once the junk is gone, by another run, a phone may have put the
        punch of that id there, and was told that it is stored.

        Raises:
            UnavailableError: the buffer does not answer.
        """
        # Whatever else an item has, its record is what tells it from a punch.
        text = item.get("record", {}).get("S")
        if text is None:
            same, value = "attribute_not_exists(#record) OR NOT attribute_type(#record, :it)", "S"
        else:
            same, value = "#record = :it", text
        try:
            self._client.delete_item(
                TableName=self._table,
                Key={"id": item["id"]},
                ConditionExpression=same,
                ExpressionAttributeNames={"#record": "record"},
                ExpressionAttributeValues={":it": {"S": value}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return 0
            _raise_unavailable(error)
        except BotoCoreError as error:
            _raise_unavailable(error)
        return 1

    def existing_ids(self, ids: Collection[str]) -> set[str]:
        """Return which of the ids are here.

        Raises:
            UnavailableError: the buffer does not answer, or not in full.
        """
        found: set[str] = set()
        wanted = deque(ids)
        tries = 0
        while wanted:
            keys = [{"id": {"S": wanted.popleft()}} for _ in range(min(_GET_BATCH, len(wanted)))]
            request = {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "id"}
            try:
                answer = self._client.batch_get_item(RequestItems={self._table: request})
            except (ClientError, BotoCoreError) as error:
                _raise_unavailable(error)
            found.update(item["id"]["S"] for item in answer["Responses"].get(self._table, []))
            left = answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"]
            wanted.extend(key["id"]["S"] for key in left)
            tries = tries + 1 if left else 0
            if tries == _BATCH_TRIES:
                raise UnavailableError("The record store cannot serve now. Try again soon.")
            if left:
                self._back_off(tries)
        return found

    def pending(self, most: int) -> dict[str, Any]:
        """Count what waits, looking at no more than ``most`` items, and the age of the oldest.

        Raises:
            UnavailableError: the buffer does not answer.
        """
        try:
            answer = self._client.scan(TableName=self._table, Limit=most)
        except (ClientError, BotoCoreError) as error:
            _raise_unavailable(error)
        accepted = []
        for item in answer["Items"]:
            with contextlib.suppress(KeyError, ValueError):  # junk, for the replicator to judge
                accepted.append(from_json(item["record"]["S"]).created_at)
        age = datetime.now(UTC) - min(accepted) if accepted else None
        return {
            "waiting": len(answer["Items"]),
            "more": "LastEvaluatedKey" in answer,
            "oldestAgeSeconds": None if age is None else round(age.total_seconds(), 1),
        }

    def _back_off(self, times: int) -> None:
        self._sleep(random.uniform(0.5, 1) * _BATCH_BACKOFF_S * 2**times)  # noqa: S311 - jitter

    def _get(self, record_id: str) -> Item | None:
        try:
            answer = self._client.get_item(
                TableName=self._table, Key={"id": {"S": record_id}}, ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            _raise_unavailable(error)
        item: Item | None = answer.get("Item")
        return item


def _read(item: Item) -> PointRecord:
    """Read what stands under a record's id. Junk blocks the id until the replicator moves it."""
    try:
        return from_json(item["record"]["S"])
    except (KeyError, ValueError) as error:
        raise UnavailableError("The record cannot be stored yet. Try again later.") from error


def _raise_unavailable(error: ClientError | BotoCoreError) -> NoReturn:
    raise UnavailableError("The record store cannot serve now. Try again soon.") from error
