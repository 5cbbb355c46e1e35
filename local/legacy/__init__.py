"""Simulate the legacy HR system: an HTTP server whose speed, limits and faults can be set.

- ``server``: the routes, and the listening socket, which an outage may close.
- ``system``: handle one point record: a fault or work, acceptance, the response.
- ``capacity``: workers, the time their work takes, and the rate limit.
- ``threads``: threads that are bound to connections.
- ``clock``: a clock that may be off.
- ``settings``: everything that can be set, and its validation.
- ``ledger``: count the calls and keep the accepted records.

Start with ``system``. ``python -m local.legacy`` starts the server alone.
"""
