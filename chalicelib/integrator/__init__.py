"""Step 3, the integrator: send due records from Postgres to the legacy, under an adaptive limit.

Start with ``run``: its docstring has the pipeline, the invariants and the threads.

- ``run``: the loop that claims, sends and settles, and ends in time.
- ``dispatcher``: send records as far as the limit allows; pass on how their calls ended.
- ``prefetch``: hold claimed records until they are sent; decide how many to claim.
- ``call_pool``: the calls in flight, shared among a few threads.
- ``call_thread``: one of these threads: it makes many calls at once.
- ``transfers``: transfer the calls of a thread at once, through libcurl.
- ``connection_pool``: which connection a call gets, and when an idle one is closed.
- ``outcome``: judge how a call ended (DELIVERED, OVERLOADED, FAILED or REFUSED); has the table.
- ``liveness``: decide whether a failed call is the record's fault or the legacy's.
- ``failure_share``: how often a good record's call fails; it keeps such records from being parked.
- ``retry_policy``: decide a record's new status, and when it is retried; parks it in the end.
- ``delivery_alarm``: log while the legacy delivers nothing.
- ``settlement_queue``: batch the outcomes that are not yet in Postgres.
- ``database_tasks``: decide which database task is next.
- ``database_worker``: the thread that runs the database tasks, one at a time.
- ``run_stats``: count what a run did, and log it.
- ``legacy``: one HTTP call: its credentials, its request, and what its response means.
- ``limiter``: decide the limit, the most calls that may be in flight.

The SQL is in ``chalicelib.postgres``: ``claims`` and ``settlements``.
"""
