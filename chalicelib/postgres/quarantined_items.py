"""List the quarantine for operators, and release its items."""

import json
from collections.abc import Callable
from typing import Any

from chalicelib.errors import NotFoundError
from chalicelib.postgres.connection import Database
from chalicelib.postgres.documents import Document, insert_documents, log_posts
from chalicelib.postgres.erasures import without_erased
from chalicelib.postgres.point_records import Added

# List the latest items of the quarantine, as many as a person looks through.
#
# A response of Lambda has at most 6 MB, and one item may have 400 KB. So long texts are cut.
_LIST = """
SELECT CAST(coalesce(json_agg(listed), '[]') AS text)
FROM (
    SELECT id, left(item_id, 2000) AS item_id, left(reason, 2000) AS reason,
        left(item, 8000) AS item, length(item) > 8000 AS is_cut, quarantined_at
    FROM quarantine
    WHERE id < CAST(:before AS bigint)
    ORDER BY id DESC LIMIT 100
) AS listed
"""
# Read one item of the quarantine, and lock its row until the transaction ends.
_READ = "SELECT item FROM quarantine WHERE id = CAST(:id AS bigint) FOR UPDATE"
# Delete a released item from the quarantine.
_DELETE = "DELETE FROM quarantine WHERE id = CAST(:id AS bigint)"


class QuarantinedItems:
    """The items of the table ``quarantine``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, before: int) -> list[dict[str, Any]]:
        """Return at most a hundred items of the quarantine, the latest first.

        The text of an item is cut after 8,000 characters; ``is_cut`` is true then.

        Args:
            before: the id of a row; only older ones are returned.

        Raises:
            UnavailableError: Postgres cannot be reached.
        """
        with self._database.transaction() as connection:
            ((text,),) = connection.run(_LIST, before=before)
        items: list[dict[str, Any]] = json.loads(text)
        return items

    def release(self, quarantine_id: int, repair: Callable[[str], Document]) -> Added:
        """Add a quarantined item as a record and delete it from quarantine, in one transaction.

        If the record exists, other evidence of the item goes to its log, as that of a post does.
        What has been erased (``erasures``) is left out.

        Args:
            quarantine_id: the ``id`` of the item's row.
            repair: makes a document from the raw item. An exception from it rolls everything back.

        Returns:
            ``written`` is 1, or 0 if the record existed already or its punch is erased. If Postgres
            rejects the document, the item stays in quarantine and ``rejected`` has the reason.

        Raises:
            NotFoundError: no quarantined item has this id.
            UnavailableError: nothing is committed, or everything is; a second call is safe.
        """
        with self._database.transaction() as connection:
            rows = connection.run(_READ, id=quarantine_id)
            if not rows:
                raise NotFoundError(f"No quarantined item has the id {quarantine_id}.")
            documents = without_erased(connection, [repair(rows[0][0])])
            written, rejected = insert_documents(connection, documents)
            if documents and not (written or rejected):
                _, rejected = log_posts(connection, documents)
            if not rejected:
                connection.run(_DELETE, id=quarantine_id)
        return Added(written, tuple(rejected))
