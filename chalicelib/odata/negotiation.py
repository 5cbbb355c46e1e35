"""What the client can read and asks for: version, format and page size, in headers and ``$format``.

Protocol 4.01, sections 8.2 and 11.2.12; JSON 4.01, section 3.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chalicelib.errors import InvalidError, NotAcceptableError

JSON = "application/json"
XML = "application/xml"

_VERSION = re.compile(r"\s*([0-9]{1,4})\.([0-9]{1,4})\s*")
_PREFERENCE = re.compile(
    r"\s*((?:odata\.)?maxpagesize)\s*=\s*\"?([0-9]{1,9})\"?\s*(?:;.*)?", re.IGNORECASE
)
_ABBREVIATIONS = {"json": JSON, "xml": XML}
_METADATA = ("none", "minimal", "full")
_TRUTH = ("true", "false")
_PARAMETERS = {
    "metadata": _METADATA,
    "streaming": _TRUTH,
    "ieee754compatible": _TRUTH,
    "exponentialdecimals": _TRUTH,
    "charset": ("utf-8", '"utf-8"'),
}


@dataclass(frozen=True, slots=True)
class Format:
    """How JSON is written. ``charset`` is what the client named, and the answer then names."""

    metadata: str = "minimal"
    numbers_as_text: bool = False
    charset: str | None = None

    @property
    def content_type(self) -> str:
        numbers = ";IEEE754Compatible=true" if self.numbers_as_text else ""
        charset = f";charset={self.charset}" if self.charset else ""
        return f"{JSON};odata.metadata={self.metadata}{numbers}{charset}"


@dataclass(frozen=True, slots=True)
class PageSize:
    """The page size that a client prefers, and the preference as it spelled it."""

    size: int
    name: str


def version_of(headers: Mapping[str, str]) -> str:
    """Return the version to answer in: 4.01, or 4.0 for clients that know no more."""
    text = headers.get("odata-maxversion")
    if text is None:
        return "4.01"
    match = _VERSION.fullmatch(text)
    if match is None or int(match[1]) < 4:
        raise InvalidError(
            "OData-MaxVersion must be 4.0 or more: the service speaks 4.0 and 4.01.",
            target="OData-MaxVersion",
        )
    return "4.0" if (int(match[1]), int(match[2])) == (4, 0) else "4.01"


def json_format(headers: Mapping[str, str], option: str | None) -> Format:
    """Return how to write JSON for the client.

    Raises:
        NotAcceptableError: the client reads no JSON that the service writes.
    """
    for media_type, parameters in _ranges(headers, option):
        if media_type not in (JSON, "application/*", "*/*"):
            continue
        known = _known(parameters)
        if known is not None:
            return Format(
                known.get("metadata", "minimal"),
                known.get("ieee754compatible") == "true",
                known.get("charset"),
            )
    raise NotAcceptableError(
        "The answer is application/json, with odata.metadata none, minimal or full and with or"
        " without IEEE754Compatible.",
        target="$format" if option else "Accept",
    )


def require_xml(headers: Mapping[str, str], option: str | None) -> None:
    """Raise ``NotAcceptableError`` for a client that does not read XML."""
    for media_type, _ in _ranges(headers, option):
        if media_type in (XML, "application/*", "*/*"):
            return
    raise NotAcceptableError(
        "The metadata document is application/xml.", target="$format" if option else "Accept"
    )


def preferred_page_size(headers: Mapping[str, str]) -> PageSize | None:
    """Return what ``Prefer: maxpagesize`` asks for; preferences that make no sense are ignored."""
    for preference in headers.get("prefer", "").split(","):
        match = _PREFERENCE.fullmatch(preference)
        if match and int(match[2]) > 0:
            return PageSize(int(match[2]), match[1].lower())
    return None


def _ranges(headers: Mapping[str, str], option: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the media types that the client reads, the preferred first; ``$format`` overrides."""
    text = option if option is not None else headers.get("accept", "").strip() or "*/*"
    found: list[tuple[float, str, dict[str, str]]] = []
    for item in text.split(","):
        media_type, *rest = (part.strip() for part in item.split(";"))
        media_type = media_type.lower()
        if option is not None:
            media_type = _ABBREVIATIONS.get(media_type, media_type)
        parameters = {}
        for part in rest:
            name, _, value = part.partition("=")
            parameters[name.strip().lower().removeprefix("odata.")] = value.strip().lower()
        quality = _quality(parameters.pop("q", "1"))
        if quality > 0:
            found.append((quality, media_type, parameters))
    found.sort(key=lambda each: -each[0])
    for _, media_type, parameters in found:
        yield media_type, parameters


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _known(parameters: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the parameters of a format, or None where one is none of JSON's."""
    for name, value in parameters.items():
        if value not in _PARAMETERS.get(name, ()):
            return None
    return parameters
