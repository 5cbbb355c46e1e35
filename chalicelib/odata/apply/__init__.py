"""``$apply``: OData Extension for Data Aggregation 4.0, translated to nested SELECTs.

``transformations.read_apply`` turns the text of ``$apply`` into a ``Relation``: each transformation
is one SELECT from the relation before it. ``handler`` combines it with the other options of
a request; start there.

- ``handler``: prepare the statements for a request: a page of rows, or their count.
- ``transformations``: the table of transformations, and the simple ones (filter, compute …).
- ``grouping``: ``groupby`` and ``aggregate``.
- ``rollup``: the groupings that ``rollup`` in ``groupby`` stands for.
- ``aggregates``: the aggregation methods and their SQL.
- ``top_skip``: transformations that keep some rows (top, skip, topcount, bottomsum …).
- ``concatenation``: ``concat``, the rows of several sequences of transformations.
- ``pipeline``: the state of reading one ``$apply``: expressions, aliases, limits, order.
- ``relation``: ``Relation``, the rows that a transformation makes, and its SELECT.
- ``relation_sql``: translate a relation to SQL.
- ``page_statements``: the statements of a page of rows as JSON, and of the count.
"""
