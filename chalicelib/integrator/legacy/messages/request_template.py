"""Render the body of a request: LEGACY_BODY, a Jinja2 template.

- A name that no record has is found when the template is compiled, in every branch.
- A property that one record lacks makes the rendering of that record fail, unless the template
  tests it (``is defined``), gives it a ``default``, or writes it with ``tojson``, as null.
- An attribute that does not exist always makes it fail: it is a slip, not a missing property.
- ``urlencode`` has the charset of the Content-Type. As in browsers, a character beyond it becomes
  a numeric reference.
- XML is escaped. Characters that XML does not allow become U+FFFD.
- The same record always gives the same body, since a retry must repeat its request: there is no
  ``random``.

The template is the operator's. The sandbox bounds slips (``range``, the size of the body), and
keeps Python's internals out of reach.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    nodes,
)
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing, url_quote

from chalicelib.integrator.legacy.messages import media_type
from chalicelib.integrator.legacy.messages.record_values import NAMES, UnsendableError
from chalicelib.settings import SettingsError

_SETTING = "LEGACY_BODY"
_MAX_BODY_CHARS = 1_000_000
_MAX_REASON_CHARS = 300
# https://www.w3.org/TR/xml/#charsets
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _MissingProperty(StrictUndefined):
    """A name that a record lacks. An attribute that any other object lacks raises at once."""

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[Exception] = UndefinedError,
    ) -> None:
        super().__init__(hint, obj, name, exc)  # type: ignore[arg-type]
        if obj is not missing:
            self._fail_with_undefined_error()


class BodyTemplate:
    """A compiled template.

    Args:
        source: the text of the template.
        content_type: the Content-Type of the request, which decides escaping and encoding.

    Raises:
        SettingsError: the template is invalid. The message has the line and the reason.
    """

    def __init__(self, source: str, content_type: str) -> None:
        self._is_xml = media_type.is_xml(content_type)
        self._encoding = media_type.stated_encoding(content_type) or "utf-8"
        environment = _environment(autoescape=self._is_xml, encoding=self._encoding)
        try:
            tree = environment.parse(source)
            _require_known_names(tree, environment)
            code = environment.compile(source, filename=_SETTING)
        except TemplateSyntaxError as error:
            raise SettingsError(f"{_SETTING}, line {error.lineno}: {error.message}") from None
        except (TemplateError, RecursionError, SyntaxError, ValueError) as error:
            raise SettingsError(f"{_SETTING}: {_reason(error)}") from None
        self._template = Template.from_code(environment, code, environment.make_globals(None))

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the body for a record.

        Args:
            values: what the template sees; see ``record_values``.

        Raises:
            UnsendableError: the rendering failed. The message has the line and the reason.
        """
        parts, size = [], 0
        try:
            for part in self._template.generate(values):
                parts.append(part)
                size += len(part)
                if size > _MAX_BODY_CHARS:
                    raise UnsendableError(
                        f"{_SETTING} renders more than {_MAX_BODY_CHARS:,} characters"
                    )
        except UnsendableError:
            raise
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            line = _line(error.__traceback__)
            place = f"{_SETTING}, line {line}" if line else _SETTING
            raise UnsendableError(f"{place}: {_reason(error)}") from None
        text = "".join(parts)
        if not self._is_xml:
            return self._encode(text, "strict")
        # A parser would turn a carriage return into a line feed: XML, section 2.11.
        return self._encode(
            _NOT_XML.sub("\ufffd", text).replace("\r", "&#13;"), "xmlcharrefreplace"
        )

    def _encode(self, text: str, errors: str) -> bytes:
        try:
            return text.encode(self._encoding, errors)
        except UnicodeEncodeError as error:
            character = text[error.start]
            raise UnsendableError(
                f"{_SETTING} renders {character!r}, which {self._encoding} does not have"
            ) from None


def _environment(*, autoescape: bool, encoding: str) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=_MissingProperty, autoescape=autoescape)
    # What would differ from one rendering to the next.
    del environment.filters["random"]
    del environment.globals["lipsum"]
    environment.filters["urlencode"] = partial(_urlencode, encoding=encoding)
    environment.policies["json.dumps_kwargs"] = {"default": _json_value}
    return environment


def _urlencode(value: object, *, encoding: str) -> str:
    """Encode a text, or the fields of an object or of pairs as a form, in the body's encoding."""

    def quote(text: object, *, is_field: bool = True) -> str:
        # https://url.spec.whatwg.org/#string-percent-encode-after-encoding
        return url_quote(str(text).encode(encoding, "xmlcharrefreplace"), for_qs=is_field)

    if isinstance(value, Mapping):
        value = value.items()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return quote(value, is_field=False)
    return "&".join(f"{quote(name)}={quote(each)}" for name, each in value)


def _json_value(value: object) -> object:
    """Return what JSON has for a value that it does not know: null for a missing property."""
    if isinstance(value, Undefined):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"tojson cannot write a {type(value).__name__}")


def _require_known_names(tree: nodes.Template, environment: ImmutableSandboxedEnvironment) -> None:
    """Find names that no record has, in every branch of the template.

    Raises:
        SettingsError: there is such a name.
    """
    unknown = find_undeclared_variables(tree) - NAMES - environment.globals.keys()
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            raise SettingsError(
                f"{_SETTING}, line {name.lineno}: {name.name} is no property of a record. Use"
                f" {', '.join(sorted(NAMES))}"
            )


def _line(traceback: TracebackType | None) -> int | None:
    """Return the line of the template that an exception comes from, by Jinja2's traceback."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _SETTING:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _reason(error: Exception) -> str:
    text = str(error)[:_MAX_REASON_CHARS]
    return text if isinstance(error, TemplateError) and text else f"{type(error).__name__}: {text}"
