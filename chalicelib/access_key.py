"""Define an access key: the secret of a report that reads OData without a person.

A key is 256 random bits. Its digest is stored, and is what the store looks for. A fast hash is
enough: guessing 256 bits is hopeless at any speed, and a slow hash protects only what can be
guessed. OWASP Password Storage Cheat Sheet; RFC 6819, section 5.1.4.2.2.
"""

import re
from hashlib import sha256

# It lets scanners of repositories find a key, and lets the service redact it in its log.
PREFIX = "pck_"
# The number of random bytes, which are written in Base64 for URLs.
RANDOM_BYTES = 32
_KEY = re.compile(r"pck_[A-Za-z0-9_-]{43}")


def looks_like_key(text: str) -> bool:
    """Return whether a text is an access key, or was meant to be one, rather than a token."""
    return text.startswith(PREFIX)


def is_key(text: str) -> bool:
    """Return whether a text has the form of an access key."""
    return _KEY.fullmatch(text) is not None


def digest_of(key: str) -> bytes:
    """Return what is stored of a key."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
