"""What counts as this machine: TLS, keys over plain HTTP and where load may go depend on it."""

import pytest

from chalicelib.net import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_addresses_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [None, "", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.1", "::", "localhost.example.com"],
)
def test_nothing_else_is(host: str | None) -> None:
    assert not is_loopback(host)
