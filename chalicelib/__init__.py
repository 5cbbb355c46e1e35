"""Everything that is deployed besides ``app.py``: the way of a punch to the legacy system.

Start with ``app.py``, which has the routes and schedules, then follow a record:

1. ``intake``: check the body of a POST, and store its records in the ``buffer`` (DynamoDB).
2. ``replicator``: move records from the buffer to ``postgres``, or to its quarantine.
   ``journal`` keeps a copy of each outside both stores, before it leaves the buffer.
   ``buffered_items`` scans, deletes and counts the items of the buffer; ``delete_pace`` lets puts
   come before deletes while the table throttles.
3. ``integrator``: send records to the legacy system under an adaptive limit. ``integrator.limiter``
   decides the limit, and ``integrator.outcome`` judges how each call ended.
4. ``odata``: let clients query the records in Postgres.

Around the way of a record:

- ``container`` builds the stores and steps, ``integrator_wiring`` the integrator.
- ``schedules`` has what each schedule does, ``operator_commands`` what operators do, and
  ``operator_route`` what they do by requests.
- ``settings`` defines every setting.
- ``openapi`` describes the routes other than OData.
- ``web`` and ``identity`` are the HTTP edge and the authentication of all routes.
- ``dynamodb`` has the clients of DynamoDB, for the buffer and the table of the issuer's keys.
- ``find_record`` reads one record from the buffer or Postgres; ``bounded_call`` bounds how long it
  waits for either.
- ``operations`` has what operators use: health, reconciliation, replay, quarantine, audit.
- ``console`` serves the web console, whose files use the other routes.
- ``point_record``, ``principal`` and ``instant`` are the values that all steps share;
  ``record_id`` computes the id of a punch; ``access_key`` says what the secret of a report is.
- ``errors`` and ``error_response`` define the errors and their form over HTTP; ``retry_window``
  chooses when a refused client may come back.
- ``wall_clock`` says whether a pause is over, by a clock that may be set back.
- ``aws``, ``net``, ``secret_references``, ``strict_json``, ``content_coding`` and ``telemetry``
  connect to the outside: AWS clients, URLs, secrets, JSON, headers, and logs with metrics.
"""
