"""What the client can read and asks for: version, format and page size, in headers and ``$format``.

Protocol 4.01, sections 8.2 and 11.2.12; JSON 4.01, section 3.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chalicelib.errors import (
    InvalidError,
    MediaTypeError,
    NotAcceptableError,
    PreconditionError,
)

JSON = "application/json"
XML = "application/xml"
MULTIPART = "multipart/mixed"
LATEST = "4.01"

_VERSION = re.compile(r"\s*([0-9]{1,4})\.([0-9]{1,4})\s*")
# One preference: Protocol 4.01, 8.2.8; RFC 7240, section 2. A comma may stand in quotes.
_PREFERENCE = re.compile(r'(?:[^,"]|"[^"]*")+')
_PREFERRED = re.compile(
    r'\s*+(?P<name>[\w.-]++)\s*+(?:=\s*+(?:"(?P<quoted>[^"]*+)"|(?P<bare>[^\s";]*+))\s*+)?(?:;.*)?'
)
_SIZE = re.compile(r"[0-9]{1,9}")
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
class JsonFormat:
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
        return LATEST
    match = _VERSION.fullmatch(text)
    if match is None or int(match[1]) < 4:
        raise InvalidError(
            "OData-MaxVersion must be 4.0 or more: the service speaks 4.0 and 4.01.",
            target="OData-MaxVersion",
        )
    return "4.0" if (int(match[1]), int(match[2])) == (4, 0) else LATEST


def json_format(headers: Mapping[str, str], option: str | None) -> JsonFormat:
    """Return how to write JSON for the client.

    Raises:
        NotAcceptableError: the client reads no JSON that the service writes.
    """
    for media_type, parameters in _ranges(headers, option):
        if media_type not in (JSON, "application/*", "*/*"):
            continue
        known = _known(parameters)
        if known is not None:
            return JsonFormat(
                known.get("metadata", "minimal"),
                known.get("ieee754compatible") == "true",
                known.get("charset"),
            )
    raise NotAcceptableError(
        "The answer is application/json, with odata.metadata none, minimal or full and with or"
        " without IEEE754Compatible.",
        target="$format" if option else "Accept",
    )


def metadata_format(headers: Mapping[str, str], option: str | None) -> str:
    """Return the media type in which the client reads metadata: XML unless it prefers JSON.

    Raises:
        NotAcceptableError: it reads neither.
    """
    for media_type, parameters in _ranges(headers, option):
        if media_type in (XML, "application/*", "*/*"):
            return XML
        if media_type == JSON and _known(parameters) is not None:
            return JSON
    raise NotAcceptableError(
        f"The metadata document is {XML} or {JSON}.", target="$format" if option else "Accept"
    )


def preferred_page_size(headers: Mapping[str, str]) -> PageSize | None:
    """Return what ``Prefer: maxpagesize`` asks for; preferences that make no sense are ignored."""
    for name, value in _preferences(headers, "maxpagesize"):
        if _SIZE.fullmatch(value) and int(value) > 0:
            return PageSize(int(value), name)
    return None


def preferred_return(headers: Mapping[str, str]) -> str | None:
    """Return whether the client prefers ``minimal`` or ``representation``, if it says so."""
    for _, value in _preferences(headers, "return"):
        if value.lower() in ("minimal", "representation"):
            return value.lower()
    return None


def preferred_to_continue(headers: Mapping[str, str]) -> bool | None:
    """Return whether a batch is to go on after an error, if the client says so; no value is yes."""
    for _, value in _preferences(headers, "continue-on-error"):
        if value.lower() in ("", *_TRUTH):
            return value.lower() != "false"
    return None


def is_json_batch(content_type: str) -> bool:
    """Return whether a batch is JSON, or else multipart.

    Raises:
        MediaTypeError: it is neither.
    """
    media_type, parameters = _media_type(content_type)
    if media_type == MULTIPART:
        return False
    if media_type != JSON or _known(parameters) is None:
        raise MediaTypeError(f"A batch is sent as Content-Type: {MULTIPART} or {JSON}.")
    return True


def wants_json_batch(headers: Mapping[str, str], option: str | None, as_json: bool) -> bool:
    """Return whether the client reads the answer to a batch as JSON; by default, as it wrote it.

    ``option`` is ``$format``: the grammar (``batchOption``) lets a batch have it.

    Raises:
        NotAcceptableError: it reads neither JSON nor multipart.
    """
    for media_type, _ in _ranges(headers, option):
        if media_type == "*/*":
            return as_json
        if media_type in (JSON, "application/*"):
            return True
        if media_type in (MULTIPART, "multipart/*"):
            return False
    raise NotAcceptableError(
        f"The answer is {MULTIPART} or {JSON}.", target="$format" if option else "Accept"
    )


def _preferences(headers: Mapping[str, str], wanted: str) -> Iterator[tuple[str, str]]:
    """Yield each preference of a name, with ``odata.`` or without, as spelled, and its value."""
    for preference in _PREFERENCE.findall(headers.get("prefer", "")):
        match = _PREFERRED.fullmatch(preference)
        if match and match["name"].lower().removeprefix("odata.") == wanted:
            value = match["bare"] if match["quoted"] is None else match["quoted"]
            yield match["name"].lower(), (value or "").strip()


def require_version(headers: Mapping[str, str]) -> None:
    """Raise ``InvalidError`` where the request itself is of a version that is not spoken here."""
    text = headers.get("odata-version")
    if text is not None and text.strip() not in ("4.0", "4.01"):
        raise InvalidError(
            "OData-Version must be 4.0 or 4.01: these the service speaks.", target="OData-Version"
        )


def version_of_error(headers: Mapping[str, str]) -> str:
    """Return the version to answer an error in, whatever is wrong with the request."""
    try:
        return version_of(headers)
    except InvalidError:
        return LATEST


def reject_isolation(headers: Mapping[str, str]) -> None:
    """Raise ``PreconditionError`` where a snapshot is asked for. Protocol 4.01, 8.2.6."""
    for name in ("isolation", "odata-isolation"):
        if name in headers:
            raise PreconditionError(
                "Isolation is not supported: every page is of its own instant.", target=name
            )


def require_json_body(headers: Mapping[str, str]) -> bool:
    """Return whether the body writes Int64 as text (IEEE754Compatible). No type means JSON.

    Raises:
        MediaTypeError: the body is no JSON that is read here.
    """
    text = headers.get("content-type", "").strip() or JSON
    media_type, parameters = _media_type(text)
    known = _known(parameters)
    if media_type != JSON or known is None:
        raise MediaTypeError("The body must be sent as Content-Type: application/json, in UTF-8.")
    return known.get("ieee754compatible") == "true"


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    """Read a media type and its parameters, ``odata.`` left out and all in lower case."""
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower().removeprefix("odata.")] = value.strip().lower()
    return media_type.lower(), parameters


def _ranges(headers: Mapping[str, str], option: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the media types that the client reads, the preferred first; ``$format`` overrides."""
    text = option if option is not None else headers.get("accept", "").strip() or "*/*"
    found: list[tuple[float, str, dict[str, str]]] = []
    for item in text.split(","):
        media_type, parameters = _media_type(item)
        if option is not None:
            media_type = _ABBREVIATIONS.get(media_type, media_type)
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
