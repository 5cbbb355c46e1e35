"""ETags and conditional requests. Protocol 4.01, 8.2.4 and 8.2.5.

The ETag is a digest of the response, not of the entity alone: it changes with everything that the
client sees, including expanded entities and the format. It is weak, because the standard requires
weak comparison.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b

from chalicelib.errors import PreconditionError

_TAG = re.compile(r'(?:W/)?("[^"]*")')
_DIGEST_BYTES = 12


def etag_of(text: str) -> str:
    """Return the ETag of a response text."""
    return f'W/"{blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"'


def is_modified(tag: str, headers: Mapping[str, str]) -> bool:
    """Return whether to send the response with this ETag; if not, the client has it: 304.

    Raises:
        PreconditionError: ``If-Match`` does not match.
    """
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    if if_match is not None and not _matches(if_match, tag):
        raise PreconditionError(
            "If-Match does not match the current ETag. Read the resource again."
        )
    return if_none_match is None or not _matches(if_none_match, tag)


def _matches(condition: str, tag: str) -> bool:
    """Return whether a header lists the ETag, by weak comparison."""
    return condition.strip() == "*" or tag.removeprefix("W/") in _TAG.findall(condition)
