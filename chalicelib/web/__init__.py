"""Handle what is common to all HTTP routes, before and after a handler in ``app.py`` runs.

- ``middleware``: start here. Log ids, the error format, CORS and authentication of every request.
- ``headers``: read request headers; build the security and CORS headers of responses.
- ``request_checks``: check that a body is JSON; find the URL that the client used.
- ``json_response``: build JSON responses, and error responses for exceptions.

``chalicelib.error_response`` and ``chalicelib.errors`` define the error format and the statuses.
"""
