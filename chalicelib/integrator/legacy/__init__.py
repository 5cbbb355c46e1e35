"""How to speak to this legacy: the road to it, the requests it reads, what its responses mean.

The road, and what proves to it who we are:

- ``credentials``: build the credentials from the settings, and check them.
- ``shared_credentials``: share them among the threads, and read them again once they are refused.
- ``authenticated_connection``: a connection whose calls carry the present credentials.
- ``token_cache``: one OAuth 2.0 access token for all threads, renewed before it expires.
- ``token_request``: one request to the token endpoint.
- ``ntlm``: the handshake of NTLM on a kept connection, which libcurl's wheel lacks.
- ``transport``: certificate authorities, client certificate and proxy.
- ``call_error``: explain why a call has no complete response.
- ``redaction``: remove our secrets from texts that people read.

Requests and responses:

- ``request_format``: everything of a request that settings decide; start here.
- ``request_template``: the body, a Jinja2 template (LEGACY_BODY).
- ``header_lines``: headers from settings.
- ``url_template``: the URL with placeholders (LEGACY_URL).
- ``record_values``: what templates see of a record, and the sample record.
- ``media_type``: what a Content-Type says about characters and syntax.
- ``response_conditions``: judge responses by JMESPath conditions (LEGACY_DELIVERED and others).
- ``legacy_check``: show a request, and judge a response, for an operator.

Without settings of its own the record's JSON is sent as it is, without credentials, and none of
this but ``transport`` and ``request_format`` is imported (docs/decisions/0026 and 0027).
"""
