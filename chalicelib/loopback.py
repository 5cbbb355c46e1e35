"""Whether a host is this machine, so that what is said to it leaves no machine."""

from ipaddress import ip_address


def is_loopback(host: str | None) -> bool:
    """Say whether a host is named by a loopback address, or is ``localhost``.

    RFC 6761, section 6.3: no ``localhost`` is another machine. Any other name is looked up nowhere.
    """
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
