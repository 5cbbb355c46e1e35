"""Fill the placeholders of LEGACY_URL, such as ``/employees/{employeeId}/punches``.

Each value is percent-encoded (RFC 3986, section 2.1), so that it stays one path segment or one
query value, with any characters. Invariant: no record changes the host.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from chalicelib.integrator.legacy.messages.record_values import PROPERTIES, UnsendableError
from chalicelib.net import is_http_url
from chalicelib.settings import SettingsError

# Servers and proxies remove these segments, even encoded ones: RFC 3986, section 5.2.4.
_DOTS = (".", "..")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class UrlTemplate:
    """A URL with placeholders.

    Args:
        text: the value of LEGACY_URL.

    Raises:
        SettingsError: it is not an HTTP URL, or has a placeholder that no record can fill.
    """

    def __init__(self, text: str) -> None:
        # Alternately the text between placeholders and the name of a placeholder.
        self._parts = _PLACEHOLDER.split(text)
        for name in self._parts[1::2]:
            if name not in PROPERTIES:
                raise SettingsError(
                    f"LEGACY_URL has the placeholder {{{name[:40]}}}, which is no property of a"
                    f" record. Use {', '.join(PROPERTIES)}"
                )
        # A placeholder is tried as 1, since without it the text beside it could become a host.
        if not is_http_url("1".join(self._parts[::2])):
            raise SettingsError(
                "LEGACY_URL must be a URL such as"
                " https://legacy.example/employees/{employeeId}/punches, in ASCII, without user and"
                " password (LEGACY_AUTH=basic sends them)"
            )
        if _PLACEHOLDER.search(urlsplit(text).netloc):
            raise SettingsError("LEGACY_URL must not have a placeholder in its host or port")
        if "#" in text:
            raise SettingsError(
                "LEGACY_URL must not have a fragment: a request does not carry what follows #."
                " Write %23 for a #"
            )
        if any(each in _DOTS for each in urlsplit(text).path.split("/")):
            raise SettingsError("LEGACY_URL must not have a path segment that is only dots")
        if any(brace in part for brace in "{}" for part in self._parts[::2]):
            raise SettingsError("LEGACY_URL has a brace without its counterpart. Write %7B or %7D")

    @property
    def has_placeholders(self) -> bool:
        """Whether the URL differs from one record to the next."""
        return len(self._parts) > 1

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the URL for a record.

        Raises:
            UnsendableError: the record lacks a property, or the URL would lead elsewhere.
        """
        parts = list(self._parts)
        for index in range(1, len(parts), 2):
            name = parts[index]
            if name not in values:
                raise UnsendableError(f"LEGACY_URL needs {name}, which the record does not have")
            parts[index] = quote(str(values[name]), safe="")
        url = "".join(parts)
        if any(each in _DOTS for each in urlsplit(url).path.split("/")):
            raise UnsendableError("LEGACY_URL has a path segment that is only dots for this record")
        return url
