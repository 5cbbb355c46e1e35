"""Where a request may go: whether a URL can be asked at all, and whether a host is this machine."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_http_url(text: str) -> bool:
    """Say whether it is http or https, with a host, and with nothing that no request could have.

    Whoever stands before the host (``user:password@``) would be passed over without a word.
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
    except ValueError:  # a port, an address or a name that is none
        return False


def is_loopback(host: str | None) -> bool:
    """Say whether a host is named by a loopback address, or is ``localhost``.

    RFC 6761, section 6.3: no ``localhost`` is another machine. Any other name is looked up nowhere.
    """
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
