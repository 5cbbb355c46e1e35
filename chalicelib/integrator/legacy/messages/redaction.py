"""Remove our secrets from texts that people read, such as a response that echoes our request.

Employees may read the log of a call. A legacy or a proxy may quote the request in an error, and
may encode what it quotes.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator

from chalicelib.integrator.legacy.messages.escapes import View, blurred, folded, levels, plain

_REPLACEMENT = "[secret]"
# A shorter secret is not replaced: "40[secret]" in place of 401 would disclose it.
_MIN_CHARS = 4
# Fewer digits are no proof that a text contains the secret.
_MIN_BASE64_DIGITS = 6
# What proves the knowledge of a password, and lets it be guessed offline: the hash of Digest (RFC
# 7616, section 3.4) and the messages of NTLM.
_PROOFS = re.compile(r"(?i)(\bresponse=[\\\"']*|\b(?:NTLM|Negotiate)\s+)[\w+/]{16,}=*")
# The same needles are looked for in each of these views of a text.
_VIEWS: tuple[Callable[[View], View], ...] = (plain, folded, blurred)


class Redactor:
    """Replaces secrets, plain or encoded, by ``[secret]``.

    Args:
        secrets: the secrets. Those shorter than 4 characters are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = tuple(secrets)
        forms = {form for secret in self.secrets for form in _forms(secret)}
        # No pattern of all forms: it would take a second to compile for a token of 60 KB, while
        # the calls of a thread wait.
        self._needles = [(see, _needles(see, forms)) for see in _VIEWS]

    def __call__(self, text: str) -> str:
        """Return the text without the secrets, also without the start of one that is cut off."""
        result, position = [], 0
        for start, end in _merged(self._spans(text)):
            result += [text[position:start], _REPLACEMENT]
            position = end
        return "".join([*result, text[position:]]) if result else text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the text has secrets, as start and end."""
        for level in levels(text):
            for proof in _PROOFS.finditer(level.text):
                yield level.span(proof.end(1), proof.end())
            for see, needles in self._needles:
                view = see(level)
                if see is not plain and view is level:
                    continue  # no other text than the plain one
                for needle in needles:
                    start = view.text.find(needle)
                    while start >= 0:
                        yield view.span(start, start + len(needle))
                        start = view.text.find(needle, start + len(needle))
                    if (start := _start_of_cut(view.text, needle)) >= 0:
                        yield view.span(start, start + 1)[0], len(text)


def _start_of_cut(text: str, needle: str) -> int:
    """Return where the text ends with the start of the needle, or -1."""
    start = text.find(needle[:_MIN_CHARS], max(0, len(text) - len(needle)))
    while start >= 0:
        # The last character first: a slice for each place would take long.
        if text[-1] == needle[len(text) - start - 1] and needle.startswith(text[start:]):
            return start
        start = text.find(needle[:_MIN_CHARS], start + 1)
    return -1


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _needles(see: Callable[[View], View], forms: Iterable[str]) -> list[str]:
    """Return what to look for in a view: the forms as the view shows them."""
    needles = {see(View.of(form)).text for form in forms}
    # The view of other characters than ASCII has one sign for all of them, which tells nothing.
    return [
        each
        for each in needles
        if len(each.replace("\ufffd", "") if see is blurred else each) >= _MIN_CHARS
    ]


def _forms(secret: str) -> set[str]:
    """Return the secret as it is, without the escapes that it may contain, in Base64 and in hex.

    The text is searched without its escapes, and the secret may contain something like one.
    """
    forms = {level.text for level in levels(secret)} | {secret}
    if len(secret) < _MIN_CHARS:
        return forms
    for encoding in ("utf-8", "latin-1"):
        octets = secret.encode(encoding, "replace")
        forms |= {
            octets.hex(),
            octets.hex().upper(),
            b64encode(octets).decode(),
            urlsafe_b64encode(octets).decode(),
            *_within_base64(octets),
        }
    return forms


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
