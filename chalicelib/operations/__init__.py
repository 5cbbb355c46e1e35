"""Observe the service, and carry out the commands of operators.

- ``health``: the depth and age of each stage, for ``GET /health`` and the metrics.
- ``canary``: send a punch of a reserved employee the whole way, and measure its age.
- ``reconciler``: prove that every accepted record is in one of the stores.
- ``reconcile_steps``: reconcile a period in steps of bounded time.
- ``accepted_log``: read from intake's log which records were accepted.
- ``replay``: return parked records to the queue.
- ``journal_deliveries``: write to the journal what the legacy has confirmed.
- ``restore``: put back, from the journal, what Postgres has lost.
- ``erase``: erase a person's evidence, and punches, in every store.
- ``personal_data``: return a person's data as JSON or CSV.
- ``person``: what belongs to a person in an item or a line.
- ``quarantine``: release a quarantined item, repaired or unchanged.
- ``manage_access_keys``: make, list and revoke the access keys of reports.
- ``audited_command``: authorise an operator's command, and log its start and its end.
- ``operator_requests``: the commands as requests, ``POST /operations/…``.

Start with ``health`` for what is observed, and with ``audited_command`` for what operators do.
"""
