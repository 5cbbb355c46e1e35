"""Decide everything of a request but the record: method, URL, headers and the format of the body.

By default the JSON of a record is POSTed as it is. Invariant: a format that was made by ``read``
has already rendered a record, so that a fault of the settings ends a run before it claims records.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chalicelib.integrator.legacy.messages import header_lines, media_type
from chalicelib.integrator.legacy.messages.record_values import (
    UnsendableError,
    sample_record,
    smallest_sample_record,
    texts_of,
    values_of,
)
from chalicelib.integrator.legacy.messages.redaction import Redactor
from chalicelib.integrator.legacy.messages.secret_fields import (
    secrets_of,
    secrets_of_headers,
    secrets_of_query,
)
from chalicelib.integrator.legacy.messages.url_template import UrlTemplate
from chalicelib.settings import Settings, SettingsError

if TYPE_CHECKING:
    from chalicelib.integrator.legacy.messages.request_template import BodyTemplate

_JSON = "application/json"
# In LEGACY_HEADERS it would be sent beside that of LEGACY_AUTH, and not be read again if refused.
_RESERVED = {**header_lines.RESERVED, "authorization": "LEGACY_AUTH"}


@dataclass(frozen=True, slots=True)
class RequestFormat:
    """The format of all requests of a run.

    Attributes:
        method: the method.
        headers: the lines ``Name: value`` that every request has, ``Content-Type`` among them.
        key_header: the name of the header that has the record's id; empty if none has.
        url: fills the placeholders of the URL; None if it has none.
        body: renders the body; None if the body is the record's JSON.
        content_type: the Content-Type of the body.
        redact: removes the secrets of the URL's query, of the headers and of the body from a text
            that quotes them; None if there are none.
    """

    method: str = "POST"
    headers: tuple[str, ...] = (f"Accept: {_JSON}", f"Content-Type: {_JSON}")
    key_header: str = "Idempotency-Key"
    url: UrlTemplate | None = None
    body: "BodyTemplate | None" = None
    content_type: str = _JSON
    redact: Redactor | None = None

    @property
    def is_rendered(self) -> bool:
        """Whether a request has more of the record than its JSON and its id."""
        return self.url is not None or self.body is not None

    @property
    def has_body(self) -> bool:
        """Whether a request has a body. A GET has all of the record in its URL."""
        return self.method != "GET"

    @property
    def encoding(self) -> str:
        """The encoding of the body."""
        return media_type.stated_encoding(self.content_type) or "utf-8"

    def render(self, record: bytes) -> tuple[str | None, bytes]:
        """Return the URL (None if it has no placeholder) and the body for a record.

        Args:
            record: the JSON of the record.

        Raises:
            UnsendableError: no request can be made from this record.
        """
        values = values_of(record)
        url = self.url.fill(values) if self.url else None
        if not self.has_body:
            return url, b""
        return url, self.body.render(values) if self.body else record


DEFAULT_FORMAT = RequestFormat()


def read(settings: Settings, resolved: Callable[[str], str]) -> RequestFormat:
    """Read the format from the settings, and try it with a sample record.

    Args:
        settings: the settings.
        resolved: returns the value of a setting by its name in lower case, behind its reference.

    Raises:
        SettingsError: a setting is invalid. The message names it, the place and the reason.
    """
    content_type = settings.legacy_content_type
    key_header = settings.legacy_key_header
    url, source = resolved("legacy_url"), resolved("legacy_body")
    is_get = settings.legacy_method == "GET"
    _check_header_settings(content_type, key_header, sends_json=not (source or is_get))
    url_template = UrlTemplate(url)
    if is_get and (source or not url_template.has_placeholders):
        raise SettingsError(
            "LEGACY_METHOD=GET sends no body: LEGACY_URL must have the record in placeholders, such"
            " as ?badge={employeeId}&at={includedAt}, and LEGACY_BODY must not be set"
        )
    result = RequestFormat(
        settings.legacy_method,
        _header_lines(content_type, resolved("legacy_headers"), key_header, is_get=is_get),
        key_header,
        url_template if url_template.has_placeholders else None,
        _body_template(source, content_type) if source else None,
        content_type,
    )
    if result.is_rendered:
        _render_samples(result)
    secrets = secrets_of_query(urlsplit(url).query) | secrets_of_headers(result.headers)
    if result.body:
        sample = sample_record(result.encoding)
        body = result.render(sample)[1].decode(result.encoding)
        secrets |= secrets_of(body) - texts_of(sample)
    return replace(result, redact=Redactor(secrets)) if secrets else result


def _check_header_settings(content_type: str, key_header: str, *, sends_json: bool) -> None:
    """Check LEGACY_CONTENT_TYPE and LEGACY_KEY_HEADER.

    Raises:
        SettingsError: a value is invalid.
    """
    if not media_type.is_media_type(content_type):
        raise SettingsError("LEGACY_CONTENT_TYPE must be a media type such as text/xml")
    try:
        encoding = media_type.stated_encoding(content_type) or "utf-8"
    except ValueError as error:
        raise SettingsError(f"LEGACY_CONTENT_TYPE: {error}. Use one such as utf-8") from None
    if sends_json and encoding != "utf-8":
        raise SettingsError(
            "LEGACY_CONTENT_TYPE has a charset other than utf-8, that of the record as JSON, so it"
            " needs a template in LEGACY_BODY"
        )
    if sends_json and not media_type.is_json(content_type):
        raise SettingsError(
            "LEGACY_CONTENT_TYPE is not JSON, so it needs a template in LEGACY_BODY"
        )
    if key_header and not header_lines.is_header_name(key_header):
        raise SettingsError(
            "LEGACY_KEY_HEADER must be the name of a header such as Idempotency-Key, or empty"
        )
    if key_header.lower() in ("accept", "authorization", "cookie"):
        raise SettingsError(
            f"LEGACY_KEY_HEADER must not be {key_header}, which has a meaning of its own. Set a"
            " header such as Idempotency-Key"
        )


def _header_lines(
    content_type: str, text: str, key_header: str, *, is_get: bool
) -> tuple[str, ...]:
    """Return the header lines of every request: ours, and those of LEGACY_HEADERS.

    Raises:
        SettingsError: a line is malformed, or sets a header that is not for it to set.
    """
    reserved = {**_RESERVED, key_header.lower(): "LEGACY_KEY_HEADER"}
    extra = header_lines.read("LEGACY_HEADERS", text, 'SOAPAction: "register"', reserved)
    names = {each.partition(":")[0].lower() for each in extra}
    accept = _JSON if media_type.is_json(content_type) and not is_get else "*/*"
    accepted = [] if "accept" in names else [f"Accept: {accept}"]
    # A cache on the way could answer a GET in place of the legacy.
    by_method = "Cache-Control: no-cache" if is_get else f"Content-Type: {content_type}"
    return (*accepted, by_method, *extra)


def _body_template(source: str, content_type: str) -> "BodyTemplate":
    from chalicelib.integrator.legacy.messages.request_template import (  # noqa: PLC0415 - if set
        BodyTemplate,
    )

    return BodyTemplate(source, content_type)


def _render_samples(result: RequestFormat) -> None:
    """Make a request from each sample record. One without optional properties may be unsendable.

    Raises:
        SettingsError: that failed, or the body is not what its Content-Type says.
    """
    try:
        bodies = [result.render(sample_record(result.encoding))[1]]
    except UnsendableError as error:
        raise SettingsError(str(error)) from None
    with contextlib.suppress(UnsendableError):
        bodies.append(result.render(smallest_sample_record())[1])
    faults = [media_type.syntax_fault(each, result.content_type) for each in bodies if result.body]
    samples = ("has characters that the template must escape", "lacks deviceId and the position")
    if result.body and (fault := media_type.encoding_fault(bodies[0], result.content_type)):
        raise SettingsError(f"LEGACY_BODY: {fault}")
    for fault, sample in zip(faults, samples, strict=False):
        if fault:
            raise SettingsError(f"LEGACY_BODY: {fault}. The sample record {sample}")
