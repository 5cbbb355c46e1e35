"""What a case is: a filter, with what it means in Python of one entity."""

from collections.abc import Callable
from typing import Any

Case = tuple[str, Callable[[Any], bool]]


def some(value: Any, test: Callable[[Any], object]) -> bool:
    """Say whether there is a value and the test holds for it."""
    return value is not None and bool(test(value))


def everything(_: Any) -> bool:
    return True


def nothing(_: Any) -> bool:
    return False
