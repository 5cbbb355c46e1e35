"""Parse the URL of a request that stands in a body or in an option: of a batch, or in ``$id``.

The URL may be absolute, without a scheme, an absolute path, or relative to the service root:
Protocol 4.01, 11.7.7.1. It is resolved and compared as RFC 3986 says, sections 5.2.4 and 6.2.
"""

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote

from chalicelib.errors import InvalidError, NotFoundError

# The host and the path of a URL that has a host. Not urlsplit: the host of a service root comes
# from the client's Host header and may be malformed.
_WITH_HOST = re.compile(r"(?:https?:)?//(?P<host>[^/]*)(?P<path>.*)", re.IGNORECASE | re.DOTALL)
# The port of either scheme, or an empty one: RFC 3986, section 6.2.3. The scheme is not compared,
# because a proxy may terminate TLS in front of the service.
_DEFAULT_PORT = re.compile(r":(?:443|80)?$")


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
            return below, parse_query_string(query)
    raise NotFoundError(f"The URL {url[:200]} is not below the service root.", target="url")


def _path_below(reference: str, root: str) -> str | None:
    """Return the path relative to a root, None if it is not below that."""
    root_host, root_path = _host_and_path(root)
    host, path = _host_and_path(reference)
    if host is not None and host != root_host:
        return None
    if host is None and not path.startswith("/"):
        path = f"{root_path}/{path}"
    segments = _without_dot_segments(path)
    root_segments = _without_dot_segments(root_path)
    above = segments[: len(root_segments)]
    if list(map(unquote, above)) != list(map(unquote, root_segments)):
        return None
    return "/".join(segments[len(root_segments) :]).strip("/")


def _host_and_path(url: str) -> tuple[str | None, str]:
    """Return the normalized host, None if the URL has none, and the path."""
    match = _WITH_HOST.fullmatch(url)
    if match is None:
        return None, url
    return _DEFAULT_PORT.sub("", unquote(match["host"]).lower()), match["path"]


def _without_dot_segments(path: str) -> list[str]:
    """Return the segments of an absolute path, resolved: RFC 3986, section 5.2.4.

    An encoded dot is a dot: section 6.2.2.2.
    """
    resolved: list[str] = []
    for segment in path.strip("/").split("/"):
        name = unquote(segment)
        if name == "..":
            del resolved[-1:]
        elif name != ".":
            resolved.append(segment)
    return resolved


def parse_query_string(text: str) -> list[tuple[str, str]]:
    """Return the decoded query options of a URL, in order.

    A ``+`` is a space, as in the query strings that API Gateway decodes. The standard leaves it
    open: https://github.com/oasis-tcs/odata-specs/issues/486.

    Raises:
        InvalidError: the query string is not valid UTF-8.
    """
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidError("The query string of the URL is not valid UTF-8.") from error
