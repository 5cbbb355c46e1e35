"""What proves to the legacy who we are: read from settings, shared by all threads, renewed.

Start with ``shared_credentials``, of which each process has one object.

- ``credentials``: build the credentials from the values of the settings, and check them.
- ``shared_credentials``: share them among the threads, and read them again once they are refused.
- ``token_cache``: one OAuth 2.0 access token for all threads, renewed before it expires.
- ``token_request``: request a token from the token endpoint, by authlib.
- ``access_token``: a token, and the error of a request that brought none.
- ``digest``: the first challenge of Digest, which libcurl answers.
- ``ntlm``: the handshake of NTLM on a kept connection, which libcurl's wheel lacks.
"""
