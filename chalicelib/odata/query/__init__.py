"""Parse the system query options of a read.

Start with ``parse_query``: it combines the options that determine which entities a response has,
and what of each. ``options`` comes before it: it splits the query string.

- ``options``: split the query string into system query options and parameter aliases.
- ``parse_query``: ``$filter`` and ``$orderby``, and all options below, also nested in ``$expand``.
- ``compute``, ``selection``, ``expand``: ``$compute``, ``$select``, and the paths of ``$expand``.
- ``projection``: what the response contains of each entity; the result of ``$select``,
  ``$compute`` and ``$expand``.
- ``page_request``: ``$top``, ``$skip``, ``$count`` and the preferred page size.
- ``skip_token``, ``total_order``: keyset pagination.
"""
