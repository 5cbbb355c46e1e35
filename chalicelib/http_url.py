"""Whether a text is a URL that can be asked at all: a wrong setting is found out at once."""

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
        )
    except ValueError:  # a port or an address that is none
        return False
