"""Authenticate callers: from the Authorization header of a request to its ``Principal``.

- ``authenticator``: start here. Validate a bearer token: its header, signature, time and audience.
- ``jwks``: fetch, check and cache the public keys that a token issuer publishes (JWKS_URL).
- ``token_claims``: turn the claims of a valid token into a principal.
- ``verified_tokens``: remember verified tokens, for clients that repeat theirs.
- ``factory``: build the authenticator from the settings, or report which setting is wrong.

What a principal may post and read is in ``chalicelib.principal``; docs/security.md has the threats.
"""
