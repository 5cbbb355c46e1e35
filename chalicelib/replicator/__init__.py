"""Step 2, the replicator: move the records of the buffer to Postgres, page by page.

- ``replication``: start here. The run, its shares of a deep buffer, and the order of its writes.
- ``buffer_scan``: read all segments of a share at once, as one iterator of pages.
- ``page_commit``: validate the items of a page, and commit them to Postgres or to its quarantine.
- ``page_deletes``: delete the items of committed pages, with several deletes in flight.

``journal.journal_writer`` writes the pages to the journal. ``delete_pace`` lets puts come before
deletes while the table throttles.
"""
