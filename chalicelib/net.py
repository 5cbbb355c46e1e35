"""Check URLs and hosts: whether a request can go to a URL, and whether a host is this machine."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_http_url(text: str) -> bool:
    """Return whether the text is an http or https URL with a host, and valid in a request.

    A URL with credentials (``user:password@host``) is rejected: a request would silently drop them.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        url = urlsplit(text)
        return (
            url.scheme in ("http", "https")
            and bool(url.hostname)
            and url.port != 0
            and is_host(url.netloc.removesuffix(":"))
            and bool((url.hostname or "").encode("idna"))
        )
    except ValueError:  # an invalid port, address or name
        return False


# Letters, digits, hyphens and underscores between dots, or an IPv6 address in brackets.
_HOST = re.compile(
    r"(?:(?=.{1,253}(?::|$))[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::[0-9]{1,5})?"
)


def is_host(text: str) -> bool:
    """Return whether the text is the value of a Host header: RFC 9110, section 7.2."""
    return _HOST.fullmatch(text) is not None


def is_loopback(host: str | None) -> bool:
    """Return whether the host is a loopback address or ``localhost``, without a DNS lookup.

    ``localhost`` always means this machine: RFC 6761, section 6.3.
    """
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
