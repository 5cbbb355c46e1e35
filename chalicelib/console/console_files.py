"""Return the files of the console, with the headers that browsers need.

Invariants:

- A file's URL has the digest of all files. So a browser keeps it for a year, and never mixes files
  of two versions. Only the page is asked for again, and is answered with 304 while it is the same.
- The page loads and runs nothing but these files. The Content-Security-Policy forbids inline
  scripts and styles, and every connection but to this service and to the issuer of tokens.
- No file has data, so none needs a token.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from chalicelib.errors import MisconfiguredError, NotFoundError
from chalicelib.settings import Settings

_FILES = Path(__file__).parent / "files"
_PAGE = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_YEAR = "public, max-age=31536000, immutable"
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class ConsoleFile:
    """A response: the status, the headers and the text of a file."""

    status: int
    headers: dict[str, str]
    body: str


def page(if_none_match: str, settings: Settings) -> ConsoleFile:
    """Return the page; 304 without a body if the browser has it.

    Args:
        if_none_match: the header of the request; empty without one.
        settings: name the issuer that the page may connect to.

    Raises:
        MisconfiguredError: the stage has a client id for signing in, and no issuer.
    """
    html = _texts()[_PAGE].replace("{version}", version())
    headers = {
        "Content-Type": _TYPES[".html"],
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _policy(settings),
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return _conditional(html, headers, if_none_match)


def file(requested_version: str, name: str, if_none_match: str) -> ConsoleFile:
    """Return a file that the page refers to; 304 without a body if the browser has it.

    Raises:
        NotFoundError: there is no such file, or it is one of another version.
    """
    text = _texts().get(name)
    if text is None or name == _PAGE or requested_version != version():
        raise NotFoundError("The console has no such file. Load its page again.")
    headers = {"Content-Type": _TYPES[Path(name).suffix], "Cache-Control": _YEAR}
    return _conditional(text, headers, if_none_match)


def configuration(settings: Settings) -> dict[str, object]:
    """Return what the page must know of the stage: how to sign in, and if commands have routes.

    Raises:
        MisconfiguredError: the stage has a client id for signing in, and no issuer.
    """
    signs_in = _signs_in(settings)
    return {
        "issuer": settings.jwt_issuer.rstrip("/") if signs_in else None,
        "clientId": settings.console_client_id or None,
        "scope": settings.console_scope,
        "operatorRoutes": settings.operator_routes == "on",
    }


@cache
def version() -> str:
    """Return the digest of all files."""
    digest = hashlib.sha256()
    for name, text in sorted(_texts().items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:16]


@cache
def _texts() -> dict[str, str]:
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in _FILES.iterdir()
        if path.suffix in _TYPES
    }


def _conditional(text: str, headers: dict[str, str], if_none_match: str) -> ConsoleFile:
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers |= {"ETag": etag}
    known = _ETAG.findall(if_none_match)
    if etag in known or if_none_match.strip() == "*":
        return ConsoleFile(304, headers, "")
    return ConsoleFile(200, headers, text)


def _signs_in(settings: Settings) -> bool:
    """Return whether people sign in at the issuer of the stage."""
    if settings.console_client_id and not settings.has_issuer_url:
        raise MisconfiguredError("CONSOLE_CLIENT_ID needs a JWT_ISSUER that is an https URL.")
    return bool(settings.console_client_id)


def _policy(settings: Settings) -> str:
    origins = []
    if _signs_in(settings):
        issuer = urlsplit(settings.jwt_issuer)
        origins = [f"{issuer.scheme}://{issuer.netloc}", *settings.console_origins.split()]
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            " ".join(["connect-src 'self'", *origins]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
