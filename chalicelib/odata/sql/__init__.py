"""Translate queries to SQL statements that return finished JSON.

Start with ``translator``: it turns a typed AST into SQL. The SQL of a function is its template
in ``expressions.functions``.

- ``translator``: expressions, joins, and the restriction to the principal's rows.
- ``select_statements``: complete statements for a page, an entity, a value, a count.
- ``entity_json``, ``json_functions``: entities and values as JSON.
- ``id_bounds``: the bounds of ids that conditions on an instant imply.
- ``keyset``: ORDER BY and keyset pagination.
- ``filter``: a ``$filter`` for statements outside OData.
- ``complexity``: reject statements that are too expensive to plan.
"""
