"""ETags, and requests that are to be served under a condition of one. Protocol 4.01, 8.2.4, 8.2.5.

The tag is made of what is answered, not of the entity alone: it changes with whatever the client
would see, the entities expanded into it and the format included. It is weak, since the standard
asks for weak comparison, and tells no two answers apart that mean the same.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b

from chalicelib.errors import PreconditionError

_TAG = re.compile(r'(?:W/)?("[^"]*")')
_DIGEST_BYTES = 12


def etag_of(text: str) -> str:
    """Return the tag of what is answered."""
    return f'W/"{blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"'


def is_modified(tag: str, headers: Mapping[str, str]) -> bool:
    """Say whether to send what has this tag; if not, the client has it: 304.

    Raises:
        PreconditionError: the client wants it under another tag only.
    """
    wanted, known = headers.get("if-match"), headers.get("if-none-match")
    if wanted is not None and not _names(wanted, tag):
        raise PreconditionError("If-Match names another ETag than the present one.")
    return known is None or not _names(known, tag)


def _names(condition: str, tag: str) -> bool:
    """Say whether the value of a header names the tag; weak and strong ones compare alike."""
    return condition.strip() == "*" or tag.removeprefix("W/") in _TAG.findall(condition)
