"""Types for ``argparse`` that reject a bad value with a message that says what is allowed."""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from chalicelib.net import is_http_url

_Number = TypeVar("_Number", int, float)


def number(low: float = 0, high: float = math.inf) -> Callable[[str], float]:
    """Return a type for finite numbers from ``low`` to ``high`` inclusive."""
    return lambda text: _parse_in_range(float, "a number", text, low, high)


def integer(low: int = 0, high: float = math.inf) -> Callable[[str], int]:
    """Return a type for integers from ``low`` to ``high`` inclusive."""
    return lambda text: _parse_in_range(int, "an integer", text, low, high)


def url_or_file(text: str) -> str | Path:
    """Return the text if it is a URL, or else the path of a file."""
    if is_http_url(text):
        return text
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an HTTP URL such as http://127.0.0.1:9000/path, nor a file"
        )
    return path


def existing_file(text: str) -> Path:
    """Return the path of a file that exists."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file")
    return path


def json_text(text: str) -> Any:
    """Return the value of a JSON text."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from error


def _parse_in_range(
    parse: Callable[[str], _Number], kind: str, text: str, low: float, high: float
) -> _Number:
    bounds = f"{low} or more" if high == math.inf else f"from {low} to {high}"
    rejection = argparse.ArgumentTypeError(f"{text!r} is not {kind}, {bounds}")
    try:
        value = parse(text)
    except ValueError as error:
        raise rejection from error
    if not (low <= value <= high and value < math.inf):  # NaN fails this comparison
        raise rejection
    return value
