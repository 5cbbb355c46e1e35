"""Read a profile: a file of ``LEGACY_…=value`` lines that describes one legacy.

The format is that of ``.env`` files, so a value in quotes may have several lines. A reference
``file:PATH``, and LEGACY_CA as a path, are relative to the directory of the profile.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from dotenv.parser import parse_stream

from chalicelib import aws, secret_references
from chalicelib.errors import PunchClockError, UnavailableError
from chalicelib.integrator.legacy.authentication import credentials
from chalicelib.integrator.legacy.messages import request_format, response_conditions
from chalicelib.settings import Settings, SettingsError, is_reference

_FILE = "file:"


class ProfileError(PunchClockError):
    """A profile is malformed, or its settings are invalid. The message is written for people."""

    code = "Invalid"
    http_status = 400


def read_profile(path: Path) -> dict[str, str]:
    """Return all settings of a legacy, by their names. The references of the profile are absolute.

    A setting that the profile lacks has its default, so that no variable of the environment takes
    its place: the profile describes the legacy alone.

    Raises:
        ProfileError: the file is no profile. The message has the line.
    """
    defaults = {
        name: str(each.default)
        for each in fields(Settings)
        if (name := each.name.upper()).startswith("LEGACY_")
    }
    settings: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig") as stream:
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
        if "\0" in each.value:  # which no environment can have
            raise ProfileError(f"{place}: {each.key} has a NUL character.")
        if each.key not in defaults:
            raise ProfileError(f"{place}: {each.key} is no setting of a legacy (docs/settings.md).")
        if each.key in settings:
            raise ProfileError(f"{place}: {each.key} is set a second time.")
        settings[each.key] = _absolute(each.key, each.value, path.parent)
    if not settings.get("LEGACY_URL"):
        raise ProfileError(f"{path}: LEGACY_URL is missing.")
    return defaults | settings


def check_profile(profile: Mapping[str, str]) -> None:
    """Check the settings of a profile as a run of the integrator does.

    Raises:
        ProfileError: a setting is invalid.
    """

    try:
        settings = Settings.from_env(profile)
        values = {
            each.name: _resolved(each.name.upper(), getattr(settings, each.name))
            for each in fields(Settings)
            if each.metadata["by_reference"] and each.name.startswith("legacy_")
        }
        request_format.read(settings, values.__getitem__)
        response_conditions.read(values.__getitem__)
        credentials.parse(settings, {name: values[name] for name in settings.legacy_credentials})
    except SettingsError as error:
        raise ProfileError(f"{str(error).removesuffix('.')}.") from error


def with_secrets(profile: Mapping[str, str]) -> dict[str, str]:
    """Return a profile with the values of its references to AWS in their places.

    The processes of a stack have the credentials of its DynamoDB endpoint, not those of AWS.

    Raises:
        ProfileError: a reference cannot be read.
    """
    try:
        return {
            name: value if value.startswith(_FILE) else _resolved(name, value)
            for name, value in profile.items()
        }
    except SettingsError as error:
        raise ProfileError(f"{error}.") from error


def _resolved(name: str, value: str) -> str:
    """Read the value of a setting.

    Raises:
        SettingsError: it is a reference that cannot be read. The message has the reason.
    """
    try:
        return secret_references.read(name, value, aws.secrets)
    except UnavailableError as error:
        raise SettingsError(
            f"{name} refers to {value}, which cannot be read: {error.__cause__}"
        ) from error


def _absolute(name: str, value: str, directory: Path) -> str:
    if value.startswith(_FILE):
        return _FILE + str((directory / value.removeprefix(_FILE)).resolve())
    if name == "LEGACY_CA" and value and not is_reference(value) and "-----BEGIN " not in value:
        return str((directory / value).resolve())
    return value
