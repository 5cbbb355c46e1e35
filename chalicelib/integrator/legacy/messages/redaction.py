"""Remove our secrets from texts that people read, such as a response that echoes our request.

Employees may read the log of a call. A legacy or a proxy may quote the request in an error, and
may encode what it quotes.
"""

import contextlib
import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote_plus

_REPLACEMENT = "[secret]"
# Takes its place until all secrets are replaced: one of them may be a part of "[secret]".
_PLACEHOLDER = "\0"
# A shorter secret is not replaced: "40[secret]" in place of 401 would disclose it.
_MIN_CHARS = 4
# Fewer digits are no proof that a text contains the secret.
_MIN_BASE64_DIGITS = 6
# What proves the knowledge of a password, and lets it be guessed offline: the hash of Digest (RFC
# 7616, section 3.4) and the messages of NTLM.
_PROOFS = re.compile(r"(?i)(\bresponse=[\\\"']*|\b(?:NTLM|Negotiate)\s+)[\w+/]{16,}=*")

# A part of the names of fields that have secrets.
_NAME = r"[\w.-]*(?:passw|pwd|secret|token|api[-_]?key|authorization|nonce)[\w.-]*"
_ANY_CASE = re.IGNORECASE | re.DOTALL
SECRET_FIELDS = (
    # XML, JSON, and a form or an attribute.
    re.compile(rf"(<(?:[\w.-]+:)?{_NAME}(?:\s[^>]*)?>)(?:<!\[CDATA\[.*?\]\]>|[^<])+", _ANY_CASE),
    re.compile(rf'("{_NAME}"\s*:\s*)(?:"(?:[^"\\]|\\.)*"|[\d.eE+-]+)', _ANY_CASE),
    re.compile(rf"((?:^|[&\s]){_NAME}=)[^&\s]+", _ANY_CASE),
)
# The same for headers and for a URL's query, of which an operator decides every name.
_NAMED_SECRET = re.compile(
    r"passw|pwd|secret|token|key|auth|cookie|session|credential|signature|^sig$|^code$",
    re.IGNORECASE,
)


def secrets_of(text: str) -> set[str]:
    """Return the values of the fields in a text, such as a request, whose names suggest secrets."""
    values = {
        match[0][len(match[1]) :] for pattern in SECRET_FIELDS for match in pattern.finditer(text)
    }
    return {form for each in values for form in (_unquoted(each), unquote_plus(each))}


def secrets_of_headers(lines: Iterable[str]) -> set[str]:
    """Return the values of the header lines whose names suggest secrets, and the parts of each:
    what follows a scheme, and the values of cookies."""
    secrets = set()
    for name, _, value in (line.partition(": ") for line in lines):
        if _NAMED_SECRET.search(name):
            cookies = (each.partition("=")[2] for each in value.split(";"))
            secrets |= {value, value.partition(" ")[2], *cookies}
    return secrets


def secrets_of_query(query: str) -> set[str]:
    """Return the values in a URL's query whose names suggest secrets, without placeholders."""
    fields = (each.partition("=") for each in query.split("&"))
    secrets = {
        value for name, _, value in fields if _NAMED_SECRET.search(name) and "{" not in value
    }
    return secrets | set(map(unquote_plus, secrets))


def _unquoted(value: str) -> str:
    """Return the value of a field without the quotes and escapes of JSON or XML."""
    if value.startswith('"'):
        with contextlib.suppress(ValueError):
            return str(json.loads(value, strict=False))
    return html.unescape(value.removeprefix("<![CDATA[").removesuffix("]]>"))


class Redactor:
    """Replaces secrets, plain or encoded, by ``[secret]``.

    Args:
        secrets: the secrets. Those shorter than 4 characters are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = tuple(secrets)
        forms = {
            form for secret in self.secrets for form in _forms(secret) if len(form) >= _MIN_CHARS
        }
        # The longest match wins. A pattern of all forms would take a second to compile for a token
        # of 60 KB, while the calls of a thread wait.
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without the secrets, also without the start of one that is cut off."""
        for form in self._forms:
            text = text.replace(form, _PLACEHOLDER)
        text = _PROOFS.sub(rf"\1{_REPLACEMENT}", text.replace(_PLACEHOLDER, _REPLACEMENT))
        for form in self._forms:
            tail = text[-len(form) :]
            start = tail.find(form[:_MIN_CHARS])
            while start >= 0:
                if form.startswith(tail[start:]):
                    return text[: len(text) - len(tail) + start] + _REPLACEMENT
                start = tail.find(form[:_MIN_CHARS], start + 1)
        return text


def _forms(secret: str) -> set[str]:
    """Return the secret as it is, and as JSON, URLs, HTML and Base64 write it."""
    octets = secret.encode()
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        html.escape(secret),
        b64encode(octets).decode(),
        urlsafe_b64encode(octets).decode(),
        *_within_base64(octets),
    }


def _within_base64(octets: bytes) -> set[str]:
    """Return what Base64 makes of the secret within a longer text, such as ``user:password``.

    The octets before it shift it by 0, 1 or 2. A digit that it shares with its neighbours is left.
    """
    forms = set()
    for shift in range(3):
        first, end = -(-shift * 8 // 6), (shift + len(octets)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            form = encode(b"\0" * shift + octets).decode()[first:end]
            if len(form) >= _MIN_BASE64_DIGITS:
                forms.add(form)
    return forms
