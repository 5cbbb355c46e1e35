"""Split the query string into system query options and parameter aliases, as unparsed text.

An option that the standard does not have is a 400, one that the service does not support a 501.
Custom options of clients are ignored. URL Conventions 4.01, section 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.errors import InvalidError, NotFoundError, NotImplementedByServiceError
from chalicelib.odata.language.earlier_versions import advice_on_option
from chalicelib.odata.language.literals import read_boolean, read_natural
from chalicelib.odata.language.option_names import NESTED, full_name
from chalicelib.odata.language.tokens import ALIAS

SUPPORTED = (NESTED - {"$levels"}) | {"$format", "$skiptoken"}
# Not in SUPPORTED, because it changes the meaning of the other options.
APPLY = "$apply"
_UNSUPPORTED = frozenset({"$deltatoken", "$id", "$index"})
# Every resource accepts it: Protocol 4.01, 11.2.12.
_SCHEMA_VERSION = "$schemaversion"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request.

    Attributes:
        texts: the system query options by full name, such as ``$filter``.
        aliases: the values of the parameter aliases by name, without ``@``.
        given: all options as the client sent them, in order.
    """

    texts: Mapping[str, str]
    aliases: Mapping[str, str]
    given: Sequence[tuple[str, str]]

    def text(self, name: str) -> str | None:
        return self.texts.get(name)

    def natural(self, name: str) -> int | None:
        """Return a non-negative integer option, or None without it.

        Raises:
            InvalidError: the value is not a non-negative integer.
        """
        text = self.texts.get(name)
        if text is None:
            return None
        try:
            return read_natural(text)
        except ValueError as error:
            raise InvalidError(f"{name} must be a non-negative integer.", target=name) from error

    def boolean(self, name: str) -> bool:
        """Return a Boolean option, false without it.

        Raises:
            InvalidError: the value is neither true nor false.
        """
        try:
            return read_boolean(self.texts.get(name, "false"))
        except ValueError as error:
            raise InvalidError(f"{name} must be true or false.", target=name) from error

    def require_valid_page(self) -> None:
        """Check the options that choose a page of a collection, also where they change nothing.

        Raises:
            InvalidError: ``$top`` or ``$skip`` is no non-negative integer, or ``$count`` neither
                true nor false.
        """
        self.natural("$top")
        self.natural("$skip")
        self.boolean("$count")

    def allow(self, *names: str) -> None:
        """Raise ``InvalidError`` if there is a system query option that ``names`` does not list."""
        for name in self.texts:
            if name not in names and name != _SCHEMA_VERSION:
                raise InvalidError(f"This resource does not accept {name}.", target=name)


def parse_options(query: Sequence[tuple[str, str]]) -> Options:
    """Sort the decoded options of a query string into system query options and aliases.

    Raises:
        InvalidError: an option is unknown, is specified twice, or has an invalid character.
        NotFoundError: the service does not have the requested schema version.
        NotImplementedByServiceError: the service does not support an option of the standard.
    """
    texts: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for given, value in query:
        name = given.strip()
        _require_valid_characters(name, value)
        if name.startswith("@"):
            if not ALIAS.fullmatch(name):
                raise InvalidError(
                    f"{name[:100]} is not a valid name of a parameter alias.", target=name[:100]
                )
            values, key = aliases, name[1:]
        else:
            option = _system_option(name)
            if option is None:
                continue
            if option == _SCHEMA_VERSION:
                _require_current_schema(value)
            values, key = texts, option
        if key in values:
            raise InvalidError(f"{name[:100]} is specified more than once.", target=name[:100])
        values[key] = value.strip()
    return Options(texts, aliases, tuple(query))


def _system_option(name: str) -> str | None:
    """Return the full name of a system query option, or None for a custom option."""
    full = full_name(name)
    if full in SUPPORTED or full in (APPLY, _SCHEMA_VERSION):
        return full
    if full in _UNSUPPORTED:
        raise NotImplementedByServiceError(f"{full} is not supported.", target=full)
    if name.startswith("$"):
        reason = advice_on_option(name.lower()) or f"{name[:100]} is not a system query option"
        raise InvalidError(f"{reason}.", target=name[:100])
    return None


def _require_current_schema(version: str) -> None:
    """Accept only ``*``, the current schema: the service does not name schema versions."""
    if version.strip() != "*":
        raise NotFoundError(
            f"The schema has no version {version[:100]}. Omit $schemaversion, or send *.",
            target=_SCHEMA_VERSION,
        )


def _require_valid_characters(name: str, value: str) -> None:
    """Reject what Postgres cannot store in a text: NUL and surrogates."""
    for text in (name, value):
        if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
            raise InvalidError(
                "The query string contains a NUL character or an unpaired surrogate.",
                target=name.encode("ascii", "replace").decode("ascii")[:100],
            )
