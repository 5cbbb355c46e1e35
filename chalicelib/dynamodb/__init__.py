"""Speak to DynamoDB: two calls by a client of our own, which intake needs fast, the rest by boto3.

- ``client``: start here. Choose the client for this process's environment.
- ``lean_client``: PutItem and GetItem without boto3 (docs/decisions/0029). All others are boto3's.
- ``boto_client``: boto3's client, with the errors of this package. Imports boto3.
- ``aws_environment``: credentials, region and endpoint, if the environment has all of them.
- ``signature``: sign a request with AWS Signature Version 4.
- ``kept_connections``: keep connections, and send a request over one.
- ``tls``: the TLS context of those connections.
- ``http_response``: read one HTTP/1.1 response, and reject what is not one.
- ``dynamodb_error``: the error of a call, and how to retry it.
- ``retries``: how often and when to retry.

``chalicelib.container`` connects. The only users are ``chalicelib.buffer``,
``chalicelib.buffered_items`` and ``chalicelib.identity.key_table``.
"""
