"""Serve OData 4.01 (Advanced conformance) for reading, plus creation of point records.

Start with ``router``, which receives every request, then ``reads``. A query takes this way:
text → ``language`` (tokens, odata-query's AST) → ``expressions`` (typed AST) → ``sql`` (one
statement) → Postgres, which returns the finished JSON.

- ``router``: dispatch a request to reads, creation or batch; map errors to responses.
- ``reads``, ``create``: serve GET and POST. ``batch``: serve ``$batch``.
- ``request``, ``request_url``, ``resource``: the request; parse its URL and its resource path.
- ``split_query``: rejoin the query options that API Gateway has split.
- ``negotiation``, ``media_types``, ``etag``: headers and formats.
- ``response``, ``response_budget``: the response and its limits.
- ``query``: parse the system query options. ``apply``: ``$apply``.
- ``language``, ``expressions``, ``sql``: from the text of an expression to SQL.
- ``metadata``: ``$metadata`` in XML and JSON.
- ``model``, ``edm``: the entity types and their primitive types. ``ast``: the typed AST.
- ``pending``: read accepted records that are not yet in Postgres.
- ``plain_record``: read one record without the OData grammar.

A layer contract in ``pyproject.toml`` fixes the direction of the imports.
"""
