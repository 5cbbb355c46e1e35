"""Authenticate callers: from the Authorization header of a request to its ``Principal``.

- ``authenticator``: start here. Validate a token: its header, signature, time and audience.
- ``access_keys``: the secrets of reports, which read OData without a person.
- ``issuer_keys``: cache the public keys of a token issuer (JWKS_URL), from their table or from it.
- ``jwk_set``: read a JWK Set, and keep what verifies tokens.
- ``key_table``: the DynamoDB table that has the issuer's last good keys (JWKS_TABLE).
- ``key_copy``: copy the issuer's keys to that table.
- ``jwks_fetch``: fetch the keys that an issuer publishes, in bounded time and size.
- ``token_claims``: turn the claims of a valid token into a principal.
- ``verified_tokens``: remember verified tokens, for clients that repeat theirs.
- ``factory``: build the authenticator from the settings, or report which setting is wrong.

What a principal may post and read is in ``chalicelib.principal``; docs/security.md has the threats.
"""
