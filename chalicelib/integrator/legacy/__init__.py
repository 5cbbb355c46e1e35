"""How to speak to this legacy: one HTTP call, its credentials, its request and its response.

The call:

- ``legacy_client``: make a call through libcurl, within its timeout; start here.
- ``legacy_endpoint``: the URL, the timeouts, and the options of libcurl that follow from them.
- ``legacy_response``: read what libcurl leaves to its user: the head, the encoding.
- ``early_response``: detect a response to an earlier request; ``tcp_info`` counts what arrived.
- ``retry_after``: read from a response how long to wait.
- ``call_error``: judge a call that has no complete response.
- ``call_steps``: a call as a generator of transfers.
- ``transport``: certificate authorities, client certificate and proxy.

Credentials:

- ``credentials``: build the credentials from the settings, and check them.
- ``shared_credentials``: share them among the threads, and read them again once they are refused.
- ``authenticated_connection``: a connection whose calls carry the present credentials.
- ``token_cache``: one OAuth 2.0 access token for all threads, renewed before it expires.
- ``token_request``: one request to the token endpoint, by authlib; ``access_token``: its result.
- ``curl_adapter``: lets ``requests`` make requests through libcurl.
- ``ntlm``: the handshake of NTLM on a kept connection, which libcurl's wheel lacks.
- ``redaction``: remove our secrets from texts that people read.

Requests and responses as settings describe them:

- ``request_format``: everything of a request that settings decide.
- ``request_template``: the body, a Jinja2 template (LEGACY_BODY).
- ``header_lines``: headers from settings.
- ``url_template``: the URL with placeholders (LEGACY_URL).
- ``record_values``: what templates see of a record, and the sample record.
- ``media_type``: what a Content-Type says about characters and syntax.
- ``response_conditions``: judge responses by JMESPath conditions (LEGACY_DELIVERED and others).
- ``condition_syntax``: compile such a condition, and find what would never hold.
- ``legacy_check``: show a request, and judge a response, for an operator.

Without such settings the record's JSON is sent as it is, without credentials, and only the modules
of the call and ``request_format`` are imported (docs/decisions/0026 and 0027).
"""
