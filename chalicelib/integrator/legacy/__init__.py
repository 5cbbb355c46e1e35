"""How to speak to this legacy: the requests it reads, and what its responses mean.

- ``request_format``: everything of a request that settings decide; start here.
- ``request_template``: the body, a Jinja2 template (LEGACY_BODY).
- ``url_template``: the URL with placeholders (LEGACY_URL).
- ``record_values``: what templates see of a record, and the sample record.
- ``media_type``: what a Content-Type says about characters and syntax.
- ``response_conditions``: judge responses by JMESPath conditions (LEGACY_DELIVERED and others).
- ``legacy_check``: show a request, and judge a response, for an operator.

Without these settings the record's JSON is sent as it is, and neither Jinja2 nor JMESPath is
imported (docs/decisions/0026).
"""
