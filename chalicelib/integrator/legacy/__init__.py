"""How to speak to this legacy: one HTTP call, from the settings to the outcome.

- ``connect``: open a connection, whose calls carry the credentials; start here.
- ``legacy_client``: a connection that makes one call at a time, within its timeout.
- ``authenticated_connection``: the same, whose calls carry the present credentials.
- ``legacy_endpoint``: the URL, the timeouts, and the options of libcurl that follow from them.
- ``legacy_check``: show a request, and judge a response, for an operator.

These modules use three packages, which do not know them:

- ``authentication``: what proves to the legacy who we are.
- ``messages``: requests and responses, as settings describe them.
- ``libcurl``: HTTP by libcurl, and what libcurl leaves to its user.

``authentication`` uses the other two, which are independent of each other. A layer contract in
``pyproject.toml`` fixes this. All judge by ``integrator.outcome``.

Without settings the record's JSON is sent as it is, without credentials. Then nothing is imported
that only a setting needs (docs/decisions/0026 and 0027).
"""
