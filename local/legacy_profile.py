"""Read a profile: a file of ``LEGACY_…=value`` lines that describes one legacy.

The format is that of ``.env`` files, so a value in quotes may have several lines. A reference
``file:PATH`` is relative to the directory of the profile.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from dotenv.parser import parse_stream

from chalicelib import aws, secret_references
from chalicelib.errors import PunchClockError
from chalicelib.integrator.legacy import credentials, request_format, response_conditions
from chalicelib.settings import Settings, SettingsError

_FILE = "file:"


class ProfileError(PunchClockError):
    """A profile is malformed, or its settings are invalid. The message is written for people."""

    code = "Invalid"
    http_status = 400


def read_profile(path: Path) -> dict[str, str]:
    """Return the settings of a profile, by their names. Its references are absolute.

    Raises:
        ProfileError: the file is no profile. The message has the line.
    """
    known = {each.name.upper() for each in fields(Settings)}
    settings: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {type(error).__name__}.") from error
    for each in bindings:
        # A binding begins with the blank lines before it.
        skipped = len(each.original.string) - len(each.original.string.lstrip("\n"))
        place = f"{path}, line {each.original.line + skipped}"
        if each.error:
            raise ProfileError(f"{place}: this is not NAME=value.")
        if each.key is None:  # a comment, or the end of the file
            continue
        if each.value is None:
            raise ProfileError(f"{place}: {each.key} has no value. Write {each.key}= for none.")
        if not each.key.startswith("LEGACY_") or each.key not in known:
            raise ProfileError(f"{place}: {each.key} is no setting of a legacy (docs/settings.md).")
        if each.key in settings:
            raise ProfileError(f"{place}: {each.key} is set a second time.")
        settings[each.key] = _absolute(each.value, path.parent)
    if not settings.get("LEGACY_URL"):
        raise ProfileError(f"{path}: LEGACY_URL is missing.")
    return settings


def check_profile(profile: Mapping[str, str]) -> None:
    """Check the settings of a profile as a run of the integrator does.

    Raises:
        ProfileError: a setting is invalid.
    """

    def resolved(name: str) -> str:
        return secret_references.read(name.upper(), getattr(settings, name), aws.secrets)

    try:
        settings = Settings.from_env(profile)
        request_format.read(settings, resolved)
        response_conditions.read(resolved)
        credentials.parse(settings, {name: resolved(name) for name in settings.legacy_credentials})
    except SettingsError as error:
        raise ProfileError(f"{error}.") from error


def _absolute(value: str, directory: Path) -> str:
    if not value.startswith(_FILE):
        return value
    return _FILE + str((directory / value.removeprefix(_FILE)).resolve())
