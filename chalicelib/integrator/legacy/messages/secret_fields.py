"""Find the fields of a request whose names tell of secrets: in its body, headers and URL."""

import contextlib
import html
import json
import re
from collections.abc import Iterable, Iterator, Set
from urllib.parse import unquote_plus

# Parts of a name, wherever they are.
_PARTS = (
    r"passw|passphrase|passcode|pwd|secret|token|authori[sz]|authenti|credential|nonce|signature"
    r"|cookie|session"
)
# Words of a name: "key" is neither in "monkey" nor in "keyboard". Some are written without a break.
_WORDS = (
    r"(?:api|access|account|app|auth|client|license|master|pass|private|secret|service|session"
    r"|shared|subscription|user)?keys?|o?auth|pass|pin|pw"
)
_SECRET_NAME = re.compile(rf"{_PARTS}|(?:^|-)(?:{_WORDS})\d*(?:-|$)")
# The names of one call's id tell of no secret, though they may have the word "key".
_CALL_ID_NAME = re.compile(r"(?:^|-)idempoten")
# In headers and in a URL's query also these, which are common words in bodies.
_SHORT_NAMES = ("sig", "code")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")

_XML_START = r"<(?:[\w.-]+:)?{name}(?:\s[^<>]*)?(?<!/)>"
_XML_VALUE = re.compile(r"(?:<!\[CDATA\[.*?\]\]>|<!--.*?-->|[^<])+", re.DOTALL)
_JSON_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[\d.eE+-]+|\[[^\[\]{}]*\]', re.DOTALL)
_PAIR_VALUE = re.compile(r"\"[^\"<]*\"|'[^'<]*'|[^&\s]+")
_XML_NAME = _XML_START.format(name=r"(?P<name>[\w.-]+)")
_XML_IN_VALUE = _XML_START.format(name="(?:value|string|text)")
_JSON_NAME = r'"(?P<name>[\w.:@$-]+)"'
# Names up to their values, and then the values. A value may be in a member of its own.
_FIELDS = tuple(
    (re.compile(name, re.IGNORECASE), value)
    for name, value in (
        # <password>…, <password><value>…, <name>password</name><value>…
        (_XML_NAME, _XML_VALUE),
        (rf"{_XML_NAME}\s*{_XML_IN_VALUE}", _XML_VALUE),
        (
            _XML_START.format(name="(?:name|key)")
            + rf"\s*(?P<name>[\w.:-]+)\s*</[^<>]*>\s*{_XML_IN_VALUE}(?:\s*{_XML_IN_VALUE})?",
            _XML_VALUE,
        ),
        # "password": …, "password": {"value": …}, "name": "password", "value": …
        (rf"{_JSON_NAME}\s*:\s*", _JSON_VALUE),
        (rf'{_JSON_NAME}\s*:\s*\{{[^{{}}]*?"(?:value|text)"\s*:\s*', _JSON_VALUE),
        (rf'"(?:name|key)"\s*:\s*{_JSON_NAME}\s*,\s*"(?:value|text)"\s*:\s*', _JSON_VALUE),
        # password=… in a form or in an attribute, name="password" value="…"
        (r"(?:^|[&\s])(?P<name>[\w.:-]+)\s*=\s*", _PAIR_VALUE),
        (
            r"\b(?:name|key)\s*=\s*[\"'](?P<name>[\w.:-]+)[\"']\s+value\s*=\s*",
            _PAIR_VALUE,
        ),
        # A part of multipart/form-data
        (
            r"\bname=\"(?P<name>[\w.:-]+)\"[^\n]*\n(?:[^\s][^\n]*\n)*\r?\n",
            re.compile(r"[^\r\n]+"),
        ),
    )
)
# In a URL; ``url_template`` knows which names it may have.
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_XML_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def tells_of_secret(name: str) -> bool:
    """Return whether the name of a field suggests that its value is a secret."""
    words = _WORD_START.sub("-", name).lower()
    return bool(_SECRET_NAME.search(words)) and not _CALL_ID_NAME.search(words)


def masked(text: str, mask: str, shown: Set[str] = frozenset()) -> str:
    """Return the text of a body with a mask in place of the values that may be secrets.

    Args:
        text: the body.
        mask: the mask.
        shown: values to show, also in a field whose name suggests a secret.
    """
    for names, values in _FIELDS:
        parts, position = [], 0
        for start, end in _values(text, names, values):
            if not shown.isdisjoint(_wholes(text[start:end])):
                continue
            parts += [text[position:start], mask]
            position = end
        text = "".join([*parts, text[position:]])
    return text


def secrets_of(text: str) -> set[str]:
    """Return the values of the fields in a body whose names suggest secrets."""
    values = {
        text[start:end]
        for names, pattern in _FIELDS
        for start, end in _values(text, names, pattern)
    }
    return {form for each in values for form in _meant(each)}


def secrets_of_headers(lines: Iterable[str]) -> set[str]:
    """Return the values of the header lines whose names suggest secrets, and the parts of each:
    what follows a scheme, and the values of cookies."""
    secrets = set()
    for name, _, value in (line.partition(": ") for line in lines):
        if tells_of_secret(name) or name.lower() in _SHORT_NAMES:
            cookies = (each.partition("=")[2] for each in value.split(";"))
            secrets |= {value, value.partition(" ")[2], *cookies}
    return secrets


def secrets_of_query(query: str) -> set[str]:
    """Return the values in a URL's query whose names suggest secrets, without placeholders."""
    fields = (each.partition("=") for each in query.split("&"))
    secrets = {
        text
        for name, _, value in fields
        if tells_of_secret(unquote_plus(name)) or name.lower() in _SHORT_NAMES
        for text in PLACEHOLDER.split(value)
    }
    return secrets | set(map(unquote_plus, secrets))


def _values(
    text: str, names: re.Pattern[str], values: re.Pattern[str]
) -> Iterator[tuple[int, int]]:
    """Yield where the text has values of secrets, as start and end, in order."""
    position = 0
    for field in names.finditer(text):
        if field.end() < position or not tells_of_secret(field["name"]):
            continue
        value = values.match(text, field.end())
        if value and value[0].strip():
            position = value.end()
            yield value.span()


def _meant(value: str) -> Iterator[str]:
    """Yield what a field's value may mean, and each JSON string in it."""
    yield from _wholes(value)
    yield from _strings(_JSON_STRING.findall(value))


def _wholes(value: str) -> Iterator[str]:
    """Yield what a field's value may mean: without the quotes and escapes of JSON, XML or a URL."""
    yield unquote_plus(value)
    value = _XML_COMMENT.sub("", value)
    yield html.unescape(value.removeprefix("<![CDATA[").removesuffix("]]>"))
    if value[:1] in ("'", '"') and value[-1] == value[0]:
        yield html.unescape(value[1:-1])
    if _JSON_STRING.fullmatch(value):
        yield from _strings([value])


def _strings(texts: Iterable[str]) -> Iterator[str]:
    for string in texts:
        with contextlib.suppress(ValueError):
            yield str(json.loads(string, strict=False))
