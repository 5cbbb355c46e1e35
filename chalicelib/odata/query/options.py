"""Read the query string: which options the client gave, each in its raw text.

Names of system query options may have their ``$`` or not, in any case (4.01). What is no option is
refused; what is one that the service does not have is refused as not implemented; names of the
client's own are left alone. URL Conventions 4.01, section 5.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.errors import InvalidError, NotFoundError, NotImplementedByServiceError

SUPPORTED = frozenset(
    {
        "$compute", "$count", "$expand", "$filter", "$format", "$orderby", "$search", "$select",
        "$skip", "$skiptoken", "$top",
    }
)  # fmt: skip
# It changes what the others mean.
APPLY = "$apply"
_UNSUPPORTED = frozenset({"$deltatoken", "$id", "$index"})
# Without their dollar, these are names like any other.
_WITH_DOLLAR_ONLY = frozenset({"$skiptoken", "$deltatoken"})
_ALIAS = re.compile(r"@[^\W\d]\w{0,127}")
# For every resource: Protocol 4.01, 11.2.12.
_SCHEMA_VERSION = "$schemaversion"
_NATURAL = re.compile(r"[0-9]+")

# More than any table can hold, and a bigint for Postgres.
_MOST = 2**62


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request.

    ``texts`` are the system query options by their full names; ``aliases`` the values of parameter
    aliases by their names without ``@``; ``given`` is all that was given, in its order.
    """

    texts: Mapping[str, str]
    aliases: Mapping[str, str]
    given: Sequence[tuple[str, str]]

    def text(self, name: str) -> str | None:
        return self.texts.get(name)

    def natural(self, name: str) -> int | None:
        """Return an option that is a number from 0 on, or None where it is not given."""
        text = self.texts.get(name)
        if text is None:
            return None
        if not _NATURAL.fullmatch(text):
            raise InvalidError(f"{name} must be a whole number from 0 on.", target=name)
        digits = text.lstrip("0") or "0"
        return min(int(digits), _MOST) if len(digits) < 20 else _MOST

    def boolean(self, name: str) -> bool:
        """Return an option that is true or false; false where it is not given."""
        text = self.texts.get(name, "false").lower()
        if text not in ("true", "false"):
            raise InvalidError(f"{name} must be true or false.", target=name)
        return text == "true"

    def allow(self, *names: str) -> None:
        """Refuse the options that mean nothing for the resource."""
        for name in self.texts:
            if name not in names and name != _SCHEMA_VERSION:
                raise InvalidError(f"{name} is not for this resource.", target=name)


def read_options(query: Sequence[tuple[str, str]]) -> Options:
    """Sort the pairs of a query string, decoded and in order, into options.

    Raises:
        InvalidError: an option is unknown, given twice, or has what no text here can have.
        NotImplementedByServiceError: an option of the standard is not supported.
    """
    texts: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for given, value in query:
        name = given.strip()
        _require_text(name, value)
        if name.startswith("@"):
            if not _ALIAS.fullmatch(name):
                raise InvalidError(f"{name[:100]} is not the name of an alias.", target=name[:100])
            found, key = aliases, name[1:]
        else:
            option = _system_option(name)
            if option is None:
                continue
            if option == _SCHEMA_VERSION:
                _require_schema(value)
            found, key = texts, option
        if key in found:
            raise InvalidError(f"{name[:100]} is given twice.", target=name[:100])
        found[key] = value.strip()
    return Options(texts, aliases, tuple(query))


def _system_option(name: str) -> str | None:
    """Return the full name of a system query option, or None for an option of the client's own."""
    lower = name.lower()
    full = lower if lower.startswith("$") else f"${lower}"
    if full != lower and full in _WITH_DOLLAR_ONLY:
        return None
    if full in SUPPORTED or full == APPLY:
        return full
    if full == _SCHEMA_VERSION:
        return full
    if full in _UNSUPPORTED:
        raise NotImplementedByServiceError(f"{full} is not supported.", target=full)
    if name.startswith("$"):
        raise InvalidError(f"There is no query option {name[:100]}.", target=name[:100])
    return None


def _require_schema(version: str) -> None:
    """Accept the current schema, which is the only one and has no name but ``*``."""
    if version.strip() != "*":
        raise NotFoundError(
            f"There is no version {version[:100]} of the schema, but * alone.",
            target=_SCHEMA_VERSION,
        )


def _require_text(name: str, value: str) -> None:
    for text in (name, value):
        if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
            raise InvalidError(
                "The query string has a character that no text here can have.",
                target=name.encode("ascii", "replace").decode("ascii")[:100],
            )
