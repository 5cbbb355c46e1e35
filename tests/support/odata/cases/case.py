"""A case: a filter, and the equivalent Python predicate on one entity."""

from collections.abc import Callable
from typing import Any

Case = tuple[str, Callable[[Any], bool]]


def some(value: Any, test: Callable[[Any], object]) -> bool:
    """Return whether the value is not null and passes the test."""
    return value is not None and bool(test(value))


def everything(_: Any) -> bool:
    return True


def nothing(_: Any) -> bool:
    return False
