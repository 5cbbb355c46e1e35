"""Check URLs and hosts: whether a request can go to a URL, and whether a host is this machine."""

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
            and "@" not in url.netloc
            and bool((url.hostname or "").encode("idna"))
        )
    except ValueError:  # an invalid port, address or name
        return False


def is_loopback(host: str | None) -> bool:
    """Return whether the host is a loopback address or ``localhost``, without a DNS lookup.

    ``localhost`` always means this machine: RFC 6761, section 6.3.
    """
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
