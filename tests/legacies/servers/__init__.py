"""Legacies built with other people's servers. Each is a program; ``served`` has what they share.

- ``rest_oauth2``: REST and XML behind an OAuth2 authorization server (Authlib).
- ``soap``: SOAP 1.1 (spyne).
- ``form_basic``: form-encoded requests with Basic authentication (Flask).
- ``mutual_tls``: HTTPS of a private CA that demands a client certificate (cheroot).
- ``threads``: few threads for connections (Paste, cheroot, gunicorn).
- ``proxy``: a forward proxy, with or without a password (proxy.py).
"""
