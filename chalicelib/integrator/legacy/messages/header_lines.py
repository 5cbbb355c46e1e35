"""Read header lines from settings, such as LEGACY_HEADERS and LEGACY_AUTH_HEADERS."""

import re
from collections.abc import Mapping

from chalicelib.settings import SettingsError

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
# Headers that the client writes itself, and the setting that decides each, if one does.
RESERVED: Mapping[str, str | None] = {
    "accept-encoding": None,
    "connection": None,
    "content-encoding": None,
    "content-length": None,
    "content-type": "LEGACY_CONTENT_TYPE",
    "expect": None,
    "host": "LEGACY_URL",
    "keep-alive": None,
    "proxy-authorization": "LEGACY_PROXY",
    "proxy-connection": None,
    "trailer": None,
    "transfer-encoding": None,
    "upgrade": None,
}


def is_header_name(text: str) -> bool:
    """Return whether a text can be the name of a header that a setting may decide."""
    return bool(_TOKEN.fullmatch(text)) and text.lower() not in RESERVED


def read(
    setting: str, text: str, example: str, reserved: Mapping[str, str | None] = RESERVED
) -> list[str]:
    """Return the lines ``Name: value`` of a setting, without empty ones.

    Args:
        setting: the name of the setting, for messages. They quote no line: it may be a secret.
        text: the value of the setting.
        example: a line, for messages.
        reserved: headers that the setting must not set, and the setting for each, if there is one.

    Raises:
        SettingsError: a line is malformed, or sets a header that is not for it to set.
    """
    lines = (each.strip() for each in re.split(r"\r?\n", text))
    return [_read_line(setting, each, example, reserved) for each in lines if each]


def _read_line(setting: str, line: str, example: str, reserved: Mapping[str, str | None]) -> str:
    name, colon, value = line.partition(":")
    name = name.rstrip(" \t")
    if not colon or not _TOKEN.fullmatch(name):
        raise SettingsError(f"{setting} must have lines such as {example}")
    if not (value.isascii() and value.replace("\t", " ").isprintable()):
        raise SettingsError(f"{setting}: the value of {name} must be printable ASCII")
    if (lower := name.lower()) in reserved:
        instead = f". Set {reserved[lower]}" if reserved[lower] else ""
        raise SettingsError(f"{setting} must not set {name}{instead}")
    return f"{name}: {value.strip()}"
