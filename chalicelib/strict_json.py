"""Parse strict JSON, in which a body has the same meaning for every parser."""

import json
from collections import Counter
from typing import Any, NoReturn

from chalicelib.errors import MalformedError


def load_json(body: bytes) -> Any:
    """Parse strict JSON (RFC 8259): UTF-8, no duplicate keys, no NaN or Infinity.

    Raises:
        MalformedError: the body is not strict JSON. The message has the reason and the position.
    """
    try:
        text = body.decode("utf-8")
        if text.startswith("\ufeff"):
            raise MalformedError("The body is not JSON: it starts with a byte order mark.")
        return _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        position = f"line {error.lineno} column {error.colno}"
        raise MalformedError(f"The body is not JSON: {error.msg} at {position}.") from error
    except RecursionError as error:
        raise MalformedError("The body is nested too deeply.") from error
    except ValueError as error:  # a number of thousands of digits
        raise MalformedError("The body has a number that is out of range.") from error


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        duplicate = next(name for name, count in counts.items() if count > 1)[:100]
        raise MalformedError(f"The body has the key {duplicate!r} twice.", target=duplicate)
    return members


def _reject_constant(name: str) -> NoReturn:
    raise MalformedError(f"The body is not JSON: {name} is not a JSON number.")


# ``json.loads`` with these hooks would build one for each body.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_without_duplicates, parse_constant=_reject_constant
)
