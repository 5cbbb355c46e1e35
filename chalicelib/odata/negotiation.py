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
from chalicelib.odata.media_types import (
    JSON,
    MULTIPART,
    XML,
    accepted_ranges,
    accepted_types,
    parse_media_type,
    quality_of,
    unknown_parameter,
)

LATEST = "4.01"

_VERSION = re.compile(r"\s*([0-9]{1,4})\.([0-9]{1,4})\s*")
# One preference: Protocol 4.01, 8.2.8; RFC 7240, section 2. Quotes may contain commas.
_PREFERENCE = re.compile(r'(?:[^,"]|"[^"]*")+')
_PREFERRED = re.compile(
    r'\s*+(?P<name>[\w.-]++)\s*+(?:=\s*+(?:"(?P<quoted>[^"]*+)"|(?P<bare>[^\s";]*+))\s*+)?(?:;.*)?'
)
_SIZE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The negotiated JSON format.

    Attributes:
        charset: the charset, only if the client specified it.
        omitted_values: the preference ``omit-values`` to apply, ``nulls`` or ``defaults``; empty
            without it. Both omit properties that are null, since none has another default:
            Protocol 4.01, section 8.2.8.6. It is no part of the media type.
    """

    metadata: str = "minimal"
    numbers_as_text: bool = False
    charset: str | None = None
    omitted_values: str = ""

    @property
    def omit_nulls(self) -> bool:
        return bool(self.omitted_values)

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
    unknown = None
    for _, parameters in accepted_types(headers, option, JSON):
        unknown = unknown or unknown_parameter(parameters)
        if unknown_parameter(parameters) is None:
            return JsonFormat(
                parameters.get("metadata", "minimal"),
                parameters.get("ieee754compatible") == "true",
                parameters.get("charset"),
                _preferred_omission(headers),
            )
    reason = f" The parameter {unknown} is not supported." if unknown else ""
    raise NotAcceptableError(
        "The response format must be application/json. Its parameter odata.metadata may be none,"
        f" minimal or full; IEEE754Compatible may be true or false.{reason}",
        target="$format" if option else "Accept",
    )


def metadata_format(headers: Mapping[str, str], option: str | None) -> str:
    """Return the media type of the metadata document: XML unless the client prefers JSON.

    OData 4.0 has the document in XML alone. A client of 4.0 that accepts XML at all gets it: Power
    Query accepts JSON with a higher quality for every request, and reads no metadata in JSON.

    Raises:
        NotAcceptableError: the client accepts neither.
    """
    formats = [
        media_type
        for media_type, parameters in accepted_types(headers, option, XML, JSON)
        if media_type == XML or unknown_parameter(parameters) is None
    ]
    if XML in formats and option is None and version_of(headers) == "4.0":
        return XML
    if formats:
        return formats[0]
    raise NotAcceptableError(
        f"The format of the metadata document must be {XML} or {JSON}.",
        target="$format" if option else "Accept",
    )


def preferred_page_size(headers: Mapping[str, str]) -> PageSize | None:
    """Return the page size of ``Prefer: maxpagesize``; ignore invalid preferences.

    The name without ``odata.`` takes precedence: Protocol 4.01, section 8.2.8.5.
    """
    sizes = [
        PageSize(int(value), name)
        for name, value in _preferences(headers, "maxpagesize")
        if _SIZE.fullmatch(value) and int(value) > 0
    ]
    return min(sizes, key=lambda each: each.name.startswith("odata."), default=None)


def preferred_return(headers: Mapping[str, str]) -> str | None:
    """Return the ``return`` preference, ``minimal`` or ``representation``, or None."""
    for _, value in _preferences(headers, "return"):
        if value.lower() in ("minimal", "representation"):
            return value.lower()
    return None


def preferred_to_continue(headers: Mapping[str, str]) -> bool | None:
    """Return the ``continue-on-error`` preference of a batch, or None; no value means true."""
    for _, value in _preferences(headers, "continue-on-error"):
        if value.lower() in ("", "true", "false"):
            return value.lower() != "false"
    return None


def _preferred_omission(headers: Mapping[str, str]) -> str:
    """Return the ``omit-values`` preference, ``nulls`` or ``defaults``; empty without it."""
    values = (value.lower() for _, value in _preferences(headers, "omit-values"))
    return next((each for each in values if each in ("nulls", "defaults")), "")


def is_json_batch(content_type: str) -> bool:
    """Return whether the body of a batch is JSON rather than multipart.

    Raises:
        MediaTypeError: it is neither.
    """
    media_type, parameters = parse_media_type(content_type)
    if media_type == MULTIPART:
        return False
    if media_type != JSON:
        raise MediaTypeError(f"The Content-Type of a batch must be {MULTIPART} or {JSON}.")
    _require_known_parameters(parameters)
    return True


def wants_json_batch(headers: Mapping[str, str], option: str | None, as_json: bool) -> bool:
    """Return whether the response to a batch must be JSON.

    The request's format is the default; a higher quality in ``Accept`` selects the other. OData 4.0
    has no batches in JSON, so there ``Accept: application/json`` is about the individual responses.
    ``option`` is ``$format``, which the grammar (``batchOption``) allows.

    Raises:
        NotAcceptableError: the client accepts neither JSON nor multipart.
    """
    formats = list(accepted_types(headers, option, JSON, MULTIPART))
    accepted = [each for each, parameters in formats if unknown_parameter(parameters) is None]
    if accepted and option is None:
        if not as_json and version_of(headers) == "4.0":
            return False
        own, other = (JSON, MULTIPART) if as_json else (MULTIPART, JSON)
        ranges = accepted_ranges(headers, option)
        return (quality_of(own, ranges) >= quality_of(other, ranges)) == as_json
    if accepted:
        return accepted[0] == JSON
    raise NotAcceptableError(
        f"The response format of a batch must be {MULTIPART} or {JSON}.",
        target="$format" if option else "Accept",
    )


def accept_of_parts(headers: Mapping[str, str]) -> str | None:
    """Return the ``Accept`` that the requests of a batch inherit: Protocol 4.01, section 8.2.1.

    One that accepts no JSON is about the response to the batch alone; then return None.
    """
    formats = accepted_types(headers, None, JSON)
    is_about_parts = any(unknown_parameter(parameters) is None for _, parameters in formats)
    return headers.get("accept") if is_about_parts else None


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
    media_type, parameters = parse_media_type(text)
    if media_type != JSON:
        raise MediaTypeError("The Content-Type of the body must be application/json, in UTF-8.")
    _require_known_parameters(parameters)
    return parameters.get("ieee754compatible") == "true"


def require_text_body(headers: Mapping[str, str]) -> None:
    """Require the media type of a ``/$query`` request: plain text in UTF-8.

    Raises:
        MediaTypeError: the headers declare another media type or charset.
    """
    media_type, parameters = parse_media_type(headers.get("content-type", ""))
    if media_type != "text/plain":
        raise MediaTypeError("The Content-Type of a /$query request must be text/plain.")
    charset = parameters.get("charset", "utf-8")
    if charset not in ("utf-8", "us-ascii"):
        raise MediaTypeError(
            f"The body must be in UTF-8: charset={charset[:100]} is not supported."
        )


def _require_known_parameters(parameters: Mapping[str, str]) -> None:
    unknown = unknown_parameter(parameters)
    if unknown is not None:
        raise MediaTypeError(
            f"The Content-Type {JSON} does not have the parameter {unknown}. Send the body in"
            " UTF-8, without other parameters than odata.metadata, odata.streaming,"
            " IEEE754Compatible, ExponentialDecimals and charset."
        )
