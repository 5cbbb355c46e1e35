"""Check expressions against the model: turn odata-query's AST into the typed AST (``odata.ast``).

Start with ``analyzer``. The SQL of each function is in ``functions``; ``sql.translator`` applies
it.

- ``analyzer``: parse and check conditions and orders.
- ``type_checker``: resolve names and check types.
- ``scope``: the meaning of names at a place.
- ``operators``: apply operators and functions to typed operands.
- ``functions``: signatures and SQL templates of functions and arithmetic operators.
- ``casts``, ``coerce``: explicit casts, and implicit conversions.
- ``search``: parse ``$search`` into a condition on text.
- ``regex``: translate ECMAScript patterns for ``matchesPattern``.
- ``size_limit``: limit the length of computed values.
- ``failure``: tell whether an expression can fail for some values.
"""
