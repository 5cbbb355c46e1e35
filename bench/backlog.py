"""Fill the buffer with a backlog, and make a replicator that drains it."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bench.engines import TABLE, Engines
from bench.punches import punch
from chalicelib.buffered_items import DELETE_BATCH, BufferedItems
from chalicelib.dynamodb import client as dynamodb_client
from chalicelib.journal.journal_files import Journal
from chalicelib.point_record import to_json
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document
from chalicelib.postgres.point_records import PointRecordStore
from chalicelib.postgres.replication_shares import ReplicationShares
from chalicelib.replicator.replication import Replicator
from chalicelib.settings import Settings
from local.dynamodb.server import CREDENTIALS

settings = Settings()


def connect(url: str) -> Any:
    """Return a DynamoDB client configured as the service's."""
    os.environ |= CREDENTIALS | {"AWS_ENDPOINT_URL_DYNAMODB": url}
    return dynamodb_client.connect(os.environ)


def replicator_on(
    database: Database,
    dynamodb_url: str,
    journal: Journal | None = None,
    items: type[BufferedItems] = BufferedItems,
    /,
    **others: int,
) -> Replicator:
    """Return a replicator with the default settings, except ``others``."""
    defaults = {
        "segments": settings.replication_segments,
        "page": settings.replication_page,
        "deleters": settings.replication_deleters,
    }
    return Replicator(
        items(connect(dynamodb_url), TABLE),
        PointRecordStore(database),
        **(defaults | others),
        margin_s=settings.replication_margin_s,
        shares=ReplicationShares(database, settings.replication_lease_s),
        share_size=settings.replication_share,
        journal=journal,
    )


def fill(stores: Engines, count: int) -> list[Document]:
    """Put ``count`` records into the buffer and return them."""
    documents = [document() for _ in range(count)]
    batches = [documents[first : first + DELETE_BATCH] for first in range(0, count, DELETE_BATCH)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda batch: put(stores.dynamodb, batch), batches))
    return documents


def document(*, created_now: bool = False) -> Document:
    """Return a unique record."""
    record = punch()
    if created_now:
        record = replace(record, created_at=datetime.now(UTC))
    return Document(str(record.id), json.dumps(to_json(record)))


def put(client: Any, batch: list[Document]) -> None:
    """Put up to 25 records in one call."""
    requests = [
        {"PutRequest": {"Item": {"id": {"S": each.id}, "record": {"S": each.text}}}}
        for each in batch
    ]
    answer = client.batch_write_item(RequestItems={TABLE: requests})
    assert not answer["UnprocessedItems"]


def truncate(stores: Engines) -> None:
    """Delete all records from Postgres."""
    with stores.database.transaction() as connection:
        connection.run("TRUNCATE point_record CASCADE")
