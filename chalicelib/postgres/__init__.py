"""Postgres, the system of record: every SQL statement outside ``odata``, and the schema.

- ``point_records``: add records from the buffer, quarantine invalid items.
- ``documents``: write records and further posts, and isolate those that Postgres rejects.
- ``quarantined_items``: list the quarantine, and release its items.
- ``replication_shares``: divide a deep buffer among several runs of the replicator.
- ``other_evidence``: log posts of a punch that is a record already, with other evidence.
- ``stage_counts``: count the records of each stage, or estimate a large number of them.
- ``erasures``: leave out of new records what has been erased.
- ``personal_records``: read and erase what Postgres has of one person.
- ``stage_flow``: describe what passed in the last minute, and why something does not pass.
- ``delivery_outbox``: the deliveries that are not yet in the journal.
- ``restoration``: mark deliveries that the database has lost, while the integrator stands still.
- ``canary_records``: read the records of the reserved employee that measure the whole way.
- ``leases``: one run of the integrator, and one erasure, at a time.
- ``claims``: lease due records to a run of the integrator.
- ``settlements``: write how the attempts of a run ended.
- ``access_key_store``: the access keys of reports, as digests.
- ``dead_letters``: return parked records (status REJECTED) to the queue.
- ``read_session``: run a query read-only, as the database role of its principal.
- ``query_parameters``: bind the values of a query, and restrict it to its principal's rows.
- ``connection``: the connection pool, transactions and timeouts.
- ``login``: read the login again after the server has refused it.
- ``database_url``: the host, login and TLS of connections; ``rds_ca.pem`` has Amazon's roots.
- ``locks``: wait for locks only briefly, and repeat the transaction that did not get them.
- ``sqlstate``: what an error says about the session and the request.
- ``partitions``: make the partitions of each month.
- ``retention``: drop the months that are too old, and the statistics of old runs.
- ``migrate``: apply ``migrations/*.sql``, which define the schema.

Start with ``migrations/0008_partitions.sql`` for the tables, then ``point_records``.
"""
