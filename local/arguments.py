"""Types for ``argparse``: each refuses, in words, what no command could use."""

import argparse
import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

from chalicelib.net import is_http_url

_Number = TypeVar("_Number", int, float)


def number(low: float = 0, high: float = math.inf) -> Callable[[str], float]:
    """Return a type of finite numbers from ``low`` to ``high``, both included."""
    return lambda text: _within(float, "a number", text, low, high)


def whole(low: int = 0, high: float = math.inf) -> Callable[[str], int]:
    """Return a type of whole numbers from ``low`` to ``high``, both included."""
    return lambda text: _within(int, "a whole number", text, low, high)


def http_url(text: str) -> str:
    """Return the URL, one that the service can ask."""
    if not is_http_url(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no URL such as http://127.0.0.1:9000/path")
    return text


def json_text(text: str) -> Any:
    """Return what the JSON says."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from error


def _within(
    kind: Callable[[str], _Number], name: str, text: str, low: float, high: float
) -> _Number:
    bounds = f"{low} or more" if high == math.inf else f"from {low} to {high}"
    refused = argparse.ArgumentTypeError(f"{text!r} is not {name}, {bounds}")
    try:
        value = kind(text)
    except ValueError as error:
        raise refused from error
    if not (low <= value <= high and value < math.inf):  # which no NaN passes
        raise refused
    return value
