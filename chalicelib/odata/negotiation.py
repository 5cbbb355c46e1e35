"""Content negotiation: OData version, format, and preferences, from headers and ``$format``.

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
# One preference: Protocol 4.01, 8.2.8; RFC 7240, section 2. Quotes may contain commas.
_PREFERENCE = re.compile(r'(?:[^,"]|"[^"]*")+')
_PREFERRED = re.compile(
    r'\s*+(?P<name>[\w.-]++)\s*+(?:=\s*+(?:"(?P<quoted>[^"]*+)"|(?P<bare>[^\s";]*+))\s*+)?(?:;.*)?'
)
_SIZE = re.compile(r"[0-9]{1,9}")
_ABBREVIATIONS = {"json": JSON, "xml": XML}
_METADATA = ("none", "minimal", "full")
_BOOLEANS = ("true", "false")
_PARAMETERS = {
    "metadata": _METADATA,
    "streaming": _BOOLEANS,
    "ieee754compatible": _BOOLEANS,
    "exponentialdecimals": _BOOLEANS,
    "charset": ("utf-8", '"utf-8"'),
}


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The negotiated JSON format. ``charset`` is set only if the client specified it."""

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
    """The preferred page size, and the name of the preference as the client spelled it."""

    size: int
    name: str


def version_of(headers: Mapping[str, str]) -> str:
    """Return the version of the response: 4.01, or 4.0 for clients that support no more."""
    text = headers.get("odata-maxversion")
    if text is None:
        return LATEST
    match = _VERSION.fullmatch(text)
    if match is None or int(match[1]) < 4:
        raise InvalidError(
            "OData-MaxVersion must be 4.0 or higher: the service supports 4.0 and 4.01.",
            target="OData-MaxVersion",
        )
    return "4.0" if (int(match[1]), int(match[2])) == (4, 0) else LATEST


def json_format(headers: Mapping[str, str], option: str | None) -> JsonFormat:
    """Return the JSON format that the client accepts.

    Raises:
        NotAcceptableError: the client accepts none that the service supports.
    """
    for media_type, parameters in _ranges(headers, option):
        if media_type not in (JSON, "application/*", "*/*"):
            continue
        supported = _supported_parameters(parameters)
        if supported is not None:
            return JsonFormat(
                supported.get("metadata", "minimal"),
                supported.get("ieee754compatible") == "true",
                supported.get("charset"),
            )
    raise NotAcceptableError(
        "The response format must be application/json. Its parameter odata.metadata may be none,"
        " minimal or full; IEEE754Compatible may be true or false.",
        target="$format" if option else "Accept",
    )


def metadata_format(headers: Mapping[str, str], option: str | None) -> str:
    """Return the media type of the metadata document: XML unless the client prefers JSON.

    Raises:
        NotAcceptableError: the client accepts neither.
    """
    for media_type, parameters in _ranges(headers, option):
        if media_type in (XML, "application/*", "*/*"):
            return XML
        if media_type == JSON and _supported_parameters(parameters) is not None:
            return JSON
    raise NotAcceptableError(
        f"The format of the metadata document must be {XML} or {JSON}.",
        target="$format" if option else "Accept",
    )


def preferred_page_size(headers: Mapping[str, str]) -> PageSize | None:
    """Return the page size of ``Prefer: maxpagesize``; ignore invalid preferences."""
    for name, value in _preferences(headers, "maxpagesize"):
        if _SIZE.fullmatch(value) and int(value) > 0:
            return PageSize(int(value), name)
    return None


def preferred_return(headers: Mapping[str, str]) -> str | None:
    """Return the ``return`` preference, ``minimal`` or ``representation``, or None."""
    for _, value in _preferences(headers, "return"):
        if value.lower() in ("minimal", "representation"):
            return value.lower()
    return None


def preferred_to_continue(headers: Mapping[str, str]) -> bool | None:
    """Return the ``continue-on-error`` preference of a batch, or None; no value means true."""
    for _, value in _preferences(headers, "continue-on-error"):
        if value.lower() in ("", *_BOOLEANS):
            return value.lower() != "false"
    return None


def is_json_batch(content_type: str) -> bool:
    """Return whether the body of a batch is JSON rather than multipart.

    Raises:
        MediaTypeError: it is neither.
    """
    media_type, parameters = _media_type(content_type)
    if media_type == MULTIPART:
        return False
    if media_type != JSON or _supported_parameters(parameters) is None:
        raise MediaTypeError(f"The Content-Type of a batch must be {MULTIPART} or {JSON}.")
    return True


def wants_json_batch(headers: Mapping[str, str], option: str | None, as_json: bool) -> bool:
    """Return whether the response to a batch must be JSON; the default is the request's format.

    ``option`` is ``$format``, which the grammar (``batchOption``) allows.

    Raises:
        NotAcceptableError: the client accepts neither JSON nor multipart.
    """
    for media_type, _ in _ranges(headers, option):
        if media_type == "*/*":
            return as_json
        if media_type in (JSON, "application/*"):
            return True
        if media_type in (MULTIPART, "multipart/*"):
            return False
    raise NotAcceptableError(
        f"The response format of a batch must be {MULTIPART} or {JSON}.",
        target="$format" if option else "Accept",
    )


def _preferences(headers: Mapping[str, str], wanted: str) -> Iterator[tuple[str, str]]:
    """Yield the name, as spelled, and value of each preference, with or without ``odata.``."""
    for preference in _PREFERENCE.findall(headers.get("prefer", "")):
        match = _PREFERRED.fullmatch(preference)
        if match and match["name"].lower().removeprefix("odata.") == wanted:
            value = match["bare"] if match["quoted"] is None else match["quoted"]
            yield match["name"].lower(), (value or "").strip()


def require_version(headers: Mapping[str, str]) -> None:
    """Raise ``InvalidError`` if the service does not support the version of the request."""
    text = headers.get("odata-version")
    if text is not None and text.strip() not in ("4.0", "4.01"):
        raise InvalidError("OData-Version must be 4.0 or 4.01.", target="OData-Version")


def version_of_error(headers: Mapping[str, str]) -> str:
    """Return the version of an error response, even if the version header is invalid."""
    try:
        return version_of(headers)
    except InvalidError:
        return LATEST


def reject_isolation(headers: Mapping[str, str]) -> None:
    """Raise ``PreconditionError`` if the client requests a snapshot. Protocol 4.01, 8.2.6."""
    for name in ("isolation", "odata-isolation"):
        if name in headers:
            raise PreconditionError(
                "Isolation is not supported: each page reads the current data.", target=name
            )


def require_json_body(headers: Mapping[str, str]) -> bool:
    """Return whether the body writes Int64 as strings (IEEE754Compatible). No type means JSON.

    Raises:
        MediaTypeError: the service cannot read the media type.
    """
    text = headers.get("content-type", "").strip() or JSON
    media_type, parameters = _media_type(text)
    supported = _supported_parameters(parameters)
    if media_type != JSON or supported is None:
        raise MediaTypeError("The Content-Type of the body must be application/json, in UTF-8.")
    return supported.get("ieee754compatible") == "true"


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    """Parse a media type and its parameters, in lower case and without ``odata.``."""
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower().removeprefix("odata.")] = value.strip().lower()
    return media_type.lower(), parameters


def _ranges(headers: Mapping[str, str], option: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the accepted media types, preferred first; ``$format`` overrides ``Accept``."""
    text = option if option is not None else headers.get("accept", "").strip() or "*/*"
    ranges: list[tuple[float, str, dict[str, str]]] = []
    for item in text.split(","):
        media_type, parameters = _media_type(item)
        if option is not None:
            media_type = _ABBREVIATIONS.get(media_type, media_type)
        quality = _quality(parameters.pop("q", "1"))
        if quality > 0:
            ranges.append((quality, media_type, parameters))
    ranges.sort(key=lambda each: -each[0])
    for _, media_type, parameters in ranges:
        yield media_type, parameters


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _supported_parameters(parameters: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the parameters of a JSON format, None if one of them is not supported."""
    for name, value in parameters.items():
        if value not in _PARAMETERS.get(name, ()):
            return None
    return parameters
