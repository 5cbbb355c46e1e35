"""HTTP by libcurl: how connections are made, what libcurl reports, and what it leaves to its user.

Nothing here knows what a request means, so the token endpoint is called through it, too.

- ``transport``: certificate authorities, client certificate and proxy.
- ``call_steps``: a call as a generator of transfers.
- ``call_error``: judge a call that has no complete response.
- ``raw_response``: collect and read a response: its head, its end, its encoding.
- ``early_response``: detect a response to an earlier request.
- ``repetition``: why a call must be repeated before it can be judged.
- ``tcp_info``: count the bytes that a connection has received.
- ``curl_adapter``: lets ``requests`` make requests through libcurl.
"""
