"""Parse the URL of a request that stands in a body or in an option: of a batch, or in ``$id``.

The URL may be absolute, an absolute path, or relative to the service root: Protocol 4.01, 11.7.7.1.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from chalicelib.errors import InvalidError, NotFoundError

_SCHEMES = ("http://", "https://")


def parse_request_url(url: str, roots: Sequence[str]) -> tuple[str, Sequence[tuple[str, str]]]:
    """Return the path below the service root, still percent-encoded, and the decoded options.

    Args:
        url: the URL.
        roots: the URLs of the service root.

    Raises:
        InvalidError: the query string is not valid UTF-8.
        NotFoundError: the URL is not below a service root.
    """
    url, _, _ = url.strip().partition("#")
    path, _, query = url.partition("?")
    for root in roots:
        below = _path_below(path, root)
        if below is not None:
            return below.removeprefix("./").strip("/"), parse_query_string(query)
    raise NotFoundError(f"The URL {url[:200]} is not below the service root.", target="url")


def _path_below(path: str, root: str) -> str | None:
    """Return the path relative to a root, None if it is not below that."""
    # Not urlsplit: the host comes from the client's Host header and may be malformed.
    root_host, _, root_path = root.partition("://")[2].partition("/")
    root_path = f"/{root_path}"
    if path.lower().startswith(_SCHEMES):
        host, _, path = path.partition("://")[2].partition("/")
        path = f"/{path}"
        # The scheme is not compared: a proxy may terminate TLS in front of the service.
        if _without_default_port(host) != _without_default_port(root_host):
            return None
    if path.startswith("/"):
        if path != root_path and not path.startswith(f"{root_path}/"):
            return None
        path = path.removeprefix(root_path)
    return path


def _without_default_port(host: str) -> str:
    return host.lower().removesuffix(":443").removesuffix(":80")


def parse_query_string(text: str) -> list[tuple[str, str]]:
    """Return the decoded query options of a URL, in order.

    Raises:
        InvalidError: the query string is not valid UTF-8.
    """
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidError("The query string of the URL is not valid UTF-8.") from error
