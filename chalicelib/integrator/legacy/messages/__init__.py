"""Requests and responses as settings describe them: what is sent, and what a response means.

Nothing here sends anything: ``RequestFormat`` makes requests from records, ``judge`` an outcome
from a response.

The request:

- ``request_format``: everything of a request that settings decide; start here.
- ``request_template``: the body, a Jinja2 template (LEGACY_BODY).
- ``url_template``: the URL with placeholders (LEGACY_URL).
- ``record_values``: what templates see of a record, and the sample record.
- ``header_lines``: headers from settings.

The response:

- ``response_outcome``: judge a response, by the operator's conditions and the default rules.
- ``response_conditions``: the conditions, JMESPath expressions (LEGACY_DELIVERED and others).
- ``condition_syntax``: compile such a condition, and find what would never hold.
- ``retry_after``: read from a response how long to wait.

Both:

- ``escapes``: read a text without the escapes of JSON, URLs and HTML.
- ``media_type``: what a Content-Type says about characters and syntax.
- ``redaction``: remove secrets from a text that quotes a request.
- ``secret_fields``: find the fields of a request whose names tell of secrets.
"""
