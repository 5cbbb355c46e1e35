"""Read from a Content-Type which characters and which syntax a body has.

Only encodings of text that are in use on the web are accepted: some of Python's other codecs need
quadratic time, or execute escapes.
"""

import codecs
import json
import re
from urllib.parse import parse_qsl
from xml.parsers import expat

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s";]+)', re.IGNORECASE)
_TEXT_ENCODING = re.compile(
    r"(?:us-?)?ascii|utf-?(?:8|16|32)(?:-?[lb]e)?|(?:iso-?)?8859-?\d{1,2}|latin-?1|iso-8859-\d{1,2}"
    r"|(?:windows-|cp)\d{3,4}|koi8-[ru]|shift_?jis|euc-?(?:jp|kr)|gb(?:k|2312|18030)|big5",
    re.IGNORECASE,
)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like that of UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The encodings of texts without a mark, by the first bytes of a text that begins with ASCII (RFC
# 4627, section 3): 1 stands for a byte that is not NUL.
_BYTE_ORDERS = {
    b"\0\0\0\1": "utf-32-be",
    b"\1\0\0\0": "utf-32-le",
    b"\0\1\0\1": "utf-16-be",
    b"\1\0\1\0": "utf-16-le",
    b"\0\1": "utf-16-be",
    b"\1\0": "utf-16-le",
}
_XML_DECLARATION = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
# https://url.spec.whatwg.org/#application/x-www-form-urlencoded, and what servers accept besides.
_FORM = re.compile(r"[A-Za-z0-9*\-._~+%/=&]*")


def is_media_type(content_type: str) -> bool:
    """Return whether the text is a media type, perhaps with parameters, on one line."""
    essence = content_type.partition(";")[0].strip()
    return (
        content_type.isascii()
        and content_type.isprintable()
        and _MEDIA_TYPE.fullmatch(essence) is not None
    )


def is_json(content_type: str) -> bool:
    """Return whether the media type is JSON, or a format that is JSON (RFC 6839)."""
    essence = _essence(content_type)
    return essence in ("application/json", "text/json") or essence.endswith("+json")


def is_xml(content_type: str) -> bool:
    """Return whether the media type is XML, or a format that is XML (RFC 7303)."""
    essence = _essence(content_type)
    return essence in ("application/xml", "text/xml") or essence.endswith("+xml")


def is_problem(content_type: str) -> bool:
    """Return whether the media type is that of a description of an error (RFC 9457)."""
    return _essence(content_type) in ("application/problem+json", "application/problem+xml")


def is_form(content_type: str) -> bool:
    """Return whether the media type is that of an HTML form."""
    return _essence(content_type) == "application/x-www-form-urlencoded"


def stated_encoding(content_type: str) -> str | None:
    """Return the ``charset`` of a Content-Type; None if it states none.

    Raises:
        ValueError: it is not a text encoding that this service knows. The message quotes it.
    """
    match = _CHARSET.search(content_type)
    if match is None:
        return None
    name = match[1].strip("'")
    if (encoding := _known_encoding(name)) is None:
        raise ValueError(f"the charset {name[:40]!r} is unknown")
    return encoding


def decode_text(body: bytes, content_type: str = "") -> str:
    """Decode a body that another system sent; never fail.

    The encoding is that of the byte order mark, or else the UTF-16 or UTF-32 that NULs show, or
    else that of the Content-Type, or else of the XML declaration (RFC 7303, section 3), or else
    UTF-8. What is not UTF-8 is read as Latin-1. An encoding that the bytes themselves disprove,
    such as UTF-16 of bytes in ASCII, does not count: .NET declares that of its texts in memory.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body.decode(encoding, "replace")
    if shown := _BYTE_ORDERS.get(bytes(map(bool, body[:4]))):
        return body.decode(shown, "replace")
    stated = _CHARSET.search(content_type)
    declared = _XML_DECLARATION.match(body[:400])  # in bytes of ASCII
    name = stated[1] if stated else declared[1].decode("ascii") if declared else "utf-8"
    encoding = _known_encoding(name) or "utf-8"
    if not _extends_ascii(encoding) and (declared or _is_utf8(body)):
        encoding = "utf-8"
    try:
        return body.decode(_with_byte_order(encoding, body))
    except UnicodeDecodeError:
        return body.decode("latin-1")


def syntax_fault(body: bytes, content_type: str) -> str | None:
    """Return why a body does not match its Content-Type; None if it does, or is not checked."""
    try:
        if is_json(content_type):
            json.loads(body)
        elif is_xml(content_type):
            # As text, since expat knows few encodings. It then ignores what the XML declares.
            text = body.decode(stated_encoding(content_type) or "utf-8")
            expat.ParserCreate().Parse(text.removeprefix("\ufeff"), True)
        elif is_form(content_type):
            return _form_fault(body.decode("latin-1"))
    except (ValueError, RecursionError) as error:
        return f"the body is not {'XML' if is_xml(content_type) else 'JSON'}: {error}"
    except expat.ExpatError as error:
        return f"the body is not XML: {error}"
    return None


def encoding_fault(body: bytes, content_type: str) -> str | None:
    """Return how the declaration of XML contradicts its encoding; None if it does not.

    Some servers trust the Content-Type, as RFC 7303 says, and others the declaration.
    """
    encoding = stated_encoding(content_type) or "utf-8"
    if not is_xml(content_type) or encoding == "ascii":  # which every encoding in use contains
        return None
    declared = _XML_DECLARATION.match(body.decode(encoding)[:400].encode())
    name = declared[1].decode() if declared else encoding
    if (_known_encoding(name) or "").startswith(encoding.removesuffix("-le").removesuffix("-be")):
        return None
    return (
        f"the XML declares {name}, but LEGACY_CONTENT_TYPE makes it {encoding}. Set the charset of"
        " LEGACY_CONTENT_TYPE to what the XML declares"
    )


def _form_fault(text: str) -> str | None:
    valid = _FORM.match(text)
    end = valid.end() if valid else 0
    if end < len(text):
        return f"the form has an unencoded {text[end]!r}"
    try:
        parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return "the form has a field without ="
    return None


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _extends_ascii(encoding: str) -> bool:
    """Return whether an encoding writes ASCII as ASCII: not UTF-16, UTF-32 nor EBCDIC."""
    return "<?xml".encode(encoding) == b"<?xml"


def _with_byte_order(encoding: str, body: bytes) -> str:
    """Return UTF-16 and UTF-32 in the byte order of a body that has no byte order mark."""
    width = {"utf-16": 2, "utf-32": 4}.get(encoding)
    if width is None:
        return encoding
    # In most texts some characters, such as spaces, have NULs in their high bytes only.
    is_big = body[::width].count(0) > body[width - 1 :: width].count(0)
    return f"{encoding}-{'be' if is_big else 'le'}"


def _is_utf8(body: bytes) -> bool:
    """Return whether a body is text in UTF-8. UTF-16 has NULs, or else is hardly ever UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _known_encoding(name: str) -> str | None:
    """Return Python's name of a text encoding; None if this service does not accept it."""
    if _TEXT_ENCODING.fullmatch(name) is None:
        return None
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
