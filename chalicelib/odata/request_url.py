"""From the URL that a client names within a request to the path and options that it means.

A URL may be absolute, an absolute path, or relative to the service root: Protocol 4.01, 11.7.7.1.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from chalicelib.errors import InvalidError, NotFoundError

_SCHEMES = ("http://", "https://")


def target_of(url: str, service_root: str) -> tuple[str, Sequence[tuple[str, str]]]:
    """Return the path under the service root, still percent-encoded, and the decoded options.

    Raises:
        InvalidError: the URL is none.
        NotFoundError: it leads out of the service.
    """
    url, _, _ = url.strip().partition("#")
    path, _, query = url.partition("?")
    # As it is: its host is what the client says of itself, and may be none.
    root_host, _, root_path = service_root.partition("://")[2].partition("/")
    root_path = f"/{root_path}"
    if path.lower().startswith(_SCHEMES):
        host, _, path = path.partition("://")[2].partition("/")
        path = f"/{path}"
        # Not the scheme: what ends TLS may stand between the client and here.
        if host.lower() != root_host.lower():
            raise _elsewhere(url)
    if path.startswith("/"):
        if path != root_path and not path.startswith(f"{root_path}/"):
            raise _elsewhere(url)
        path = path.removeprefix(root_path)
    return path.removeprefix("./").strip("/"), read_query(query)


def read_query(text: str) -> list[tuple[str, str]]:
    """Return the decoded options of the query part of a URL, in order.

    Raises:
        InvalidError: it is not UTF-8.
    """
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidError("The query part of the URL is not in UTF-8.") from error


def _elsewhere(url: str) -> NotFoundError:
    return NotFoundError(f"{url[:200]} is no URL of this service.", target="url")
