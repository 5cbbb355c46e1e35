"""Describe the HTTP API as OpenAPI 3.1, for ``GET /openapi.json`` and docs/openapi.json.

- ``document``: start here. The routes, their answers and limits.
- ``operations_paths``: the routes of operators.
- ``schemas``: the JSON of requests and responses; those of records follow from the OData model.

OData describes itself: ``/odata/$metadata``.
"""
