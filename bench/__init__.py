"""Benchmarks: each measures a ratio beside a limit or a peer, in the same run.

``python -m bench --help`` lists them. The measured engines are real and local.

- The whole stack: ``burst``.
- Intake: ``intake``, ``identity`` and ``refusals``.
- Replication: ``replication``, ``replication_cpu`` and ``replication_settings``.
- Integration: ``integration``, ``integration_backlog``, ``integration_cpu`` and
  ``integration_own``.
- Queries: ``odata``.
- Postgres with years of records: ``years``.
- The limiter, in virtual time: ``legacies`` simulates legacies, ``evolve`` finds parameters.

What they share:

- ``engines``: PostgreSQL and a DynamoDB endpoint.
- ``punches``, ``backlog``: records, in memory and in the buffer.
- ``cold_start``: the part of ``intake`` that starts fresh interpreters.
- ``stack_cpu``: the CPU of a stack by part, for ``burst``.
- ``replication_process``: the processes of ``replication``.
- ``instant_http``, ``instant_dynamodb``, ``instant_legacy``: servers that respond at once.
"""
