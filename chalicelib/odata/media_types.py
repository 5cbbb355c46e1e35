"""Parse media types, and choose among them by ``Accept`` and ``$format``: RFC 9110, section 12.5.1.

Protocol 4.01, section 8.2; JSON 4.01, section 3.
"""

from collections.abc import Iterator, Mapping, Sequence

JSON = "application/json"
XML = "application/xml"
MULTIPART = "multipart/mixed"

_ABBREVIATIONS = {"json": JSON, "xml": XML}
_METADATA = ("none", "minimal", "full")
_BOOLEANS = ("true", "false")
# A range of media types in Accept: its quality, its name and its parameters.
Range = tuple[float, str, dict[str, str]]
FORMAT_PARAMETERS = {
    "metadata": _METADATA,
    "streaming": _BOOLEANS,
    "ieee754compatible": _BOOLEANS,
    "exponentialdecimals": _BOOLEANS,
    "charset": ("utf-8",),
}


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """Parse a media type and its parameters, in lower case and without ``odata.``.

    A quoted value is equivalent to the same value without quotes, and a parameter may be empty: RFC
    9110, section 5.6.6. No supported value needs its quotes.
    """
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = {}
    for part in filter(None, rest):
        name, _, value = part.partition("=")
        value = value.strip().lower()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        parameters[name.strip().lower().removeprefix("odata.")] = value
    return media_type.lower(), parameters


def accepted_types(
    headers: Mapping[str, str], option: str | None, *offered: str
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the offered media types that the client accepts, preferred first, with parameters.

    The parameters may be unknown ones, so that the caller can name them.

    A media type is excluded if the most specific range for it has the quality 0: RFC 9110, section
    12.5.1.
    """
    ranges = accepted_ranges(headers, option)
    for quality, media_range, parameters in sorted(ranges, key=lambda each: -each[0]):
        for media_type in offered:
            if quality == 0 or media_range not in _including(media_type):
                continue
            if unknown_parameter(parameters) is not None or quality_of(media_type, ranges) > 0:
                yield media_type, parameters


def _including(media_type: str) -> tuple[str, str, str]:
    """Return the ranges that include a media type, the most specific first."""
    return media_type, f"{media_type.partition('/')[0]}/*", "*/*"


def quality_of(media_type: str, ranges: Sequence[Range]) -> float:
    """Return the quality of a media type by its most specific range; 0 if none includes it."""
    for name in _including(media_type):
        qualities = [
            quality
            for quality, media_range, parameters in ranges
            if media_range == name and unknown_parameter(parameters) is None
        ]
        if qualities:
            return max(qualities)
    return 0.0


def accepted_ranges(headers: Mapping[str, str], option: str | None) -> list[Range]:
    """Return the ranges of media types with their quality; ``$format`` overrides ``Accept``."""
    text = option if option is not None else headers.get("accept", "").strip() or "*/*"
    ranges: list[Range] = []
    for item in text.split(","):
        media_type, parameters = parse_media_type(item)
        if option is not None:
            media_type = _ABBREVIATIONS.get(media_type, media_type)
        quality = _quality(parameters.pop("q", "1"))
        ranges.append((quality, media_type, parameters))
    return ranges


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def unknown_parameter(parameters: Mapping[str, str]) -> str | None:
    """Return the first parameter of a JSON format that is not supported, None without one."""
    for name, value in parameters.items():
        if value not in FORMAT_PARAMETERS.get(name, ()):
            return f"{name}={value}"[:100]
    return None
