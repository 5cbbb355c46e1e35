"""The buffer: store accepted records in a DynamoDB table until they are in Postgres.

An item has a key and one text, the record as JSON: ``{"id": {"S": …}, "record": {"S": …}}``
(docs/decisions/0001). The key is the id of the record. Another post of the same punch with other
evidence has its own item, whose key goes on after a slash (docs/decisions/0052). Invariants: a put
that returns has stored its record, and a punch is stored once.

This module puts and gets records. ``buffered_items`` scans, deletes and counts the items, valid or
not.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from chalicelib.dynamodb.dynamodb_error import DynamoDBError
from chalicelib.errors import NotImplementedByServiceError, UnavailableError
from chalicelib.point_record import PointRecord, from_json, to_json

Item = dict[str, Any]

# The limit of TransactWriteItems:
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_MAX_TRANSACTION = 100
_PUT_ATTEMPTS = 3
_PUT_BACKOFF_S = 0.05
# A put or a delete of an item that a transaction is writing at this moment. AWS's clients do not
# retry it: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
CONFLICT = "TransactionConflictException"
# Posts of one punch with other evidence, for each role, that the buffer keeps until the next
# replication. One role cannot use up the room of another.
_MAX_OTHER_EVIDENCE = 4

UNAVAILABLE = "The record store is unavailable. Try again soon."


class Buffer:
    """The table of accepted records.

    Args:
        client: a client of DynamoDB: ``dynamodb.client.connect``.
        table: the name of the table.
        sleep: waits for a number of seconds between two attempts at a put.
    """

    def __init__(
        self, client: Any, table: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def put(self, record: PointRecord) -> tuple[PointRecord, bool]:
        """Store a record, unless its punch is already in the buffer. Idempotent.

        Returns:
            The record that the table holds, and whether this call stored it. An attempt whose
            response was lost counts as this call.

        Raises:
            UnavailableError: it is unknown whether the record is stored. A retry is safe.
        """
        for attempt in range(_PUT_ATTEMPTS):
            #   phone A ── put ──▶ stored                                201
            #   phone B ── put ──▶ condition fails, returns A's item     200
            #   replicator ──────────── delete ──▶
            #   phone C ── put ──▶ condition fails ── get ──▶ gone: put again, a no-op in Postgres
            try:
                self._client.put_item(**self._put_request(record))
            except DynamoDBError as error:
                if error.code == CONFLICT:
                    self._back_off(attempt)
                    continue
                if error.code != "ConditionalCheckFailedException":
                    raise_unavailable(error)
                item = error.fields.get("Item") or self._get(str(record.id))
                if item is None:
                    continue
                stored = _parse(item)
                # An equal record, with the same createdAt, is from an attempt of this call whose
                # response was lost.
                return stored, stored == record
            else:
                return record, True
        raise UnavailableError("The record could not be stored. Send it again.")

    def put_other_evidence(self, record: PointRecord) -> bool:
        """Keep a post of a stored punch that has other evidence than the record. Idempotent.

        Returns:
            Whether it is kept: the room for each role is bounded.

        Raises:
            UnavailableError: it is unknown whether it is kept. A retry is safe.
        """
        for number in range(_MAX_OTHER_EVIDENCE):
            key = f"{record.id}/{record.posted_as}/{number}"
            try:
                self._client.put_item(**self._put_request(record, key))
            except DynamoDBError as error:
                if error.code != "ConditionalCheckFailedException":
                    raise_unavailable(error)
                item = error.fields.get("Item") or self._get(key)
                if item is None:  # replicated meanwhile: the log has it, or has room for this one
                    raise UnavailableError(
                        "The record could not be stored. Send it again."
                    ) from None
                kept = _parse(item)
                if (kept.evidence, kept.posted_by) == (record.evidence, record.posted_by):
                    return True
            else:
                return True
        return False

    def put_atomically(self, records: Sequence[PointRecord]) -> list[tuple[PointRecord, bool]]:
        """Store all of the records, or none. A punch that is already in the buffer is a no-op.

        Returns:
            One result per record, as from ``put``.

        Raises:
            UnavailableError: it is unknown whether the records are stored. A retry is safe.
            NotImplementedByServiceError: the records exceed what one transaction may write.
        """
        requested: dict[str, PointRecord] = {}
        for each in records:
            requested.setdefault(str(each.id), each)
        if len(requested) > _MAX_TRANSACTION:
            raise NotImplementedByServiceError(
                f"At most {_MAX_TRANSACTION} records can be stored in one transaction. Send fewer"
                " records together."
            )
        existing: dict[str, PointRecord] = {}
        for attempt in range(_PUT_ATTEMPTS):
            new = [each for name, each in requested.items() if name not in existing]
            try:
                if new:
                    items = [{"Put": self._put_request(each)} for each in new]
                    self._client.transact_write_items(TransactItems=items)
            except DynamoDBError as error:
                if error.code != "TransactionCanceledException":
                    raise_unavailable(error)
                # Some records exist already, or a concurrent transaction writes one of them, or the
                # table throttles. AWS's clients do not retry a cancelled transaction.
                found = self._existing(new, error.fields.get("CancellationReasons", ()))
                existing |= found
                if not found:
                    self._back_off(attempt)
            else:
                stored = requested | existing
                # As in ``put``: an equal record is from an attempt whose response was lost.
                return [(stored[str(each.id)], stored[str(each.id)] == each) for each in records]
        raise UnavailableError("The records could not be stored. Send them again.")

    def _existing(
        self, records: Sequence[PointRecord], reasons: Sequence[Item]
    ) -> dict[str, PointRecord]:
        """Return the records because of which a transaction was cancelled, by their ids."""
        existing = {}
        for record, reason in zip(records, reasons, strict=False):
            if reason.get("Code") == "ConditionalCheckFailed":
                item = reason.get("Item") or self._get(str(record.id))
                if item:
                    existing[str(record.id)] = _parse(item)
        return existing

    def _put_request(self, record: PointRecord, key: str = "") -> Item:
        return {
            "TableName": self._table,
            "Item": {
                "id": {"S": key or str(record.id)},
                "record": {"S": json.dumps(to_json(record), separators=(",", ":"))},
            },
            "ConditionExpression": "attribute_not_exists(id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def get(self, record_id: str) -> PointRecord | None:
        """Return the record with this id, or None if it is not, or no longer, in the buffer.

        Raises:
            UnavailableError: DynamoDB does not respond, or the item is not a valid record.
        """
        item = self._get(record_id)
        return _parse(item) if item else None

    def _back_off(self, attempt: int) -> None:
        self._sleep(random.uniform(0.5, 1) * _PUT_BACKOFF_S * 2**attempt)  # noqa: S311 - jitter

    def _get(self, record_id: str) -> Item | None:
        try:
            response = self._client.get_item(
                TableName=self._table, Key={"id": {"S": record_id}}, ConsistentRead=True
            )
        except DynamoDBError as error:
            raise_unavailable(error)
        item: Item | None = response.get("Item")
        return item


def _parse(item: Item) -> PointRecord:
    """Return the record of an item.

    Raises:
        UnavailableError: the item is invalid. It blocks its id until the replicator has moved it to
            the quarantine.
    """
    try:
        return from_json(item["record"]["S"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnavailableError(
            "Invalid data blocks this record for now. Try again in a few minutes."
        ) from error


def raise_unavailable(error: DynamoDBError) -> NoReturn:
    """Raise the error that clients get if a call to DynamoDB has failed."""
    raise UnavailableError(UNAVAILABLE) from error
