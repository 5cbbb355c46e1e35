"""URLs that a request can go to, and hosts that are this machine."""

import pytest

from chalicelib.net import is_host, is_http_url, is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/jwks",
        "http://127.0.0.1:9",
        "HTTPS://[::1]:8443/a?b=c",
        "http://hr_1.example.:/",
    ],
)
def test_http_url_with_a_host_is_accepted(url: str) -> None:
    assert is_http_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "issuer.example/jwks", "https:///jwks", "file:///etc/passwd", "ftp://issuer.example"),
        *("https://issuer.example:99999", "https://issuer.example:0", "https://[::1/jwks"),
        *(
            "https://ada:secret@issuer.example",
            "https://issuer.example/a b",
            "https://b\u00fccher.de",
        ),
        *("https://issuer.example/\n", f"https://{'a' * 64}.example"),
        # What urlsplit takes for a host, and libcurl does not
        *("https://hr%20x.example", "https://hr<x>.example/x", "https://hr.example;evil/x"),
        *("https://*/x", "https://hr.example\\foo/", "http://hr,x/", "https://hr..example"),
    ],
)
def test_url_that_no_request_can_go_to_is_rejected(url: str) -> None:
    assert not is_http_url(url)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_addresses_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [None, "", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.1", "::", "localhost.example.com"],
)
def test_other_hosts_are_not_this_machine(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("api.example", "api.example:8000", "API-1.example.", "localhost", "127.0.0.1:1"),
        *("[::1]", "[2001:db8::1]:443", "x_y.example", f"{'a' * 63}.example"),
    ],
)
def test_name_or_address_is_a_host(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", " ", "a b", "a/b", "evil.example/x", "a?b", "a#b", "ada@evil.example", "a:b", "a:"),
        *("a:123456", "a..b", ".a", "[::1", "::1", "a\n", "a,b", "b\u00fccher.de", "a'b", 'a"b'),
        *(f"{'a' * 64}.example", ".".join(["a" * 60] * 5), "{a}", "a\\b", "a%2e"),
    ],
)
def test_other_text_is_no_host(host: str) -> None:
    assert not is_host(host)
