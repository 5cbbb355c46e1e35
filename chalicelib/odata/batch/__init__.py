"""Execute batch requests (``$batch``): Protocol 4.01, section 11.7.

Start with ``executor``.

- ``executor``: execute the individual requests of a batch in order, change sets atomically.
- ``multipart``, ``json_format``: the two formats; both parse individual requests and write
  individual responses.
"""
