"""Strict JSON: what a client says must mean one thing only, whoever reads it."""

import json
from collections import Counter
from typing import Any, NoReturn

from chalicelib.errors import InvalidError


def load_json(body: bytes) -> Any:
    """Read strict JSON (RFC 8259): UTF-8, no key twice, no NaN or Infinity.

    Raises:
        InvalidError: with what is wrong and where.
    """
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        raise InvalidError(f"The body is not UTF-8 at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InvalidError(f"The body is not JSON: {error.msg} at {where}.") from error
    except RecursionError as error:
        raise InvalidError("The body is nested too deeply.") from error
    except ValueError as error:  # a number of thousands of digits
        raise InvalidError("The body has a number that is out of range.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = next(name for name, times in names.items() if times > 1)
        raise InvalidError(f"The body has the key {twice[:100]!r} twice.", target=twice[:100])
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidError(f"The body is not JSON: {name} is not a JSON number.")
