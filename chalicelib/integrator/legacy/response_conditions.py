"""Judge responses by the operator's conditions: JMESPath expressions over the response.

A condition sees ``{status, headers, body}``. ``headers`` has lower-case names, and the first value
of each; ``body`` is JSON if it is JSON, and text otherwise. A condition holds only if its result is
``true``. With any other result, and with an error, it does not hold; the first such case is logged.

    asked in this order   the call is
    ─────────────────────────────────────────────────────────────
    LEGACY_DELIVERED      DELIVERED
    LEGACY_DUPLICATE      DELIVERED; the record's log says so
    LEGACY_RETRY          OVERLOADED: uses up no attempt
    LEGACY_REFUSED        REFUSED

What none of them decides falls to the rules of ``outcome``.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions

from chalicelib.integrator.legacy import media_type
from chalicelib.integrator.outcome import CREDENTIALS_REFUSED, CallResult, Outcome, storable
from chalicelib.settings import SettingsError
from chalicelib.telemetry import event

_OUTCOMES = {
    "LEGACY_DELIVERED": Outcome.DELIVERED,
    "LEGACY_DUPLICATE": Outcome.DELIVERED,
    "LEGACY_RETRY": Outcome.OVERLOADED,
    "LEGACY_REFUSED": Outcome.REFUSED,
}
SETTINGS = tuple(_OUTCOMES)

_MEMBERS = ("status", "headers", "body")
# Nodes whose first child sees what the node sees, and whose others see the first one's result.
_PATHS = frozenset(
    {
        "subexpression",
        "index_expression",
        "projection",
        "value_projection",
        "filter_projection",
        "flatten",
        "pipe",
    }
)
# A longer integer would need quadratic time.
_MAX_INTEGER_DIGITS = 18


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: the setting it comes from, and its compiled expression."""

    setting: str
    expression: Any


class ResponseConditions:
    """The conditions of a legacy, in the order in which they are asked.

    Attributes:
        define_delivery: whether LEGACY_DELIVERED is one of them.

    Args:
        texts: the expression of each setting in ``SETTINGS``; empty or absent if there is none.

    Raises:
        SettingsError: an expression is invalid. The message names the setting and the reason.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._conditions = [
            Condition(name, _compile(name, text)) for name in SETTINGS if (text := texts.get(name))
        ]
        self.define_delivery = bool(texts.get("LEGACY_DELIVERED"))
        self._lock = threading.Lock()
        self._logged: set[str] = set()

    def judge(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        latency_s: float,
        retry_after_s: float | None,
    ) -> CallResult | None:
        """Judge a complete response.

        Args:
            status: the HTTP status.
            headers: by lower-case names.
            body: the whole body, without a Content-Encoding.
            latency_s: how long the call took.
            retry_after_s: how long the legacy asks us to wait; None if it does not.

        Returns:
            None if the default rules must judge it.
        """
        text = media_type.decode_text(body, headers.get("content-type", ""))
        setting = next(self._matching(status, headers, text), None)
        if setting is None:
            return None
        outcome = _OUTCOMES[setting]
        if setting == "LEGACY_DELIVERED":
            return CallResult(outcome, latency_s, status, decided_by=setting)
        if setting == "LEGACY_DUPLICATE":
            log = f"The legacy already had the record. HTTP {status}: {text}"
            return CallResult(outcome, latency_s, status, storable(log), decided_by=setting)
        return CallResult(
            outcome,
            latency_s,
            status,
            storable(f"HTTP {status}, judged by {setting}: {text}"),
            retry_after_s,
            credentials_refused=setting == "LEGACY_RETRY" and status in CREDENTIALS_REFUSED,
            decided_by=setting,
        )

    def matching(self, status: int, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        """Yield the setting of each condition that holds, in order."""
        text = media_type.decode_text(body, headers.get("content-type", ""))
        return self._matching(status, headers, text)

    def _matching(self, status: int, headers: Mapping[str, str], text: str) -> Iterator[str]:
        response = {"status": status, "headers": headers, "body": _value(text)}
        for each in self._conditions:
            if self._holds(each, response):
                yield each.setting

    def _holds(self, condition: Condition, response: Mapping[str, Any]) -> bool:
        try:
            result = condition.expression.search(response)
        except JMESPathTypeError as error:
            reason = f"{error.function_name}() does not take a {error.actual_type}"
        except Exception as error:  # noqa: BLE001 - JMESPath lets errors of Python through
            reason = type(error).__name__
        else:
            if result is True:
                return True
            if result is False or result is None:
                return False
            reason = f"its result is a {type(result).__name__}, not true or false"
        self._log_once(condition.setting, reason)
        return False

    def _log_once(self, setting: str, reason: str) -> None:
        with self._lock:
            if setting in self._logged:
                return
            self._logged.add(setting)
        event(
            "a condition cannot judge a response", logging.WARNING, setting=setting, reason=reason
        )


def read(resolved: Callable[[str], str]) -> ResponseConditions | None:
    """Read the conditions from the settings; return None if there is none.

    Args:
        resolved: returns the value of a setting that may be a reference; see ``container``.

    Raises:
        SettingsError: an expression is invalid.
    """
    texts = {name: resolved(name.lower()) for name in SETTINGS}
    return ResponseConditions(texts) if any(texts.values()) else None


def _value(text: str) -> Any:
    """Return what conditions see of a body: JSON, or else text."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return text


def _compile(setting: str, text: str) -> Any:
    """Compile an expression, and find what would only fail or never hold when it is evaluated.

    Raises:
        SettingsError: the expression is invalid.
    """
    try:
        expression = jmespath.compile(text)
    except (JMESPathError, RecursionError) as error:
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise SettingsError(f"{setting} is not a JMESPath expression: {reason}") from None
    if fault := _fault(expression.parsed, is_response=True):
        raise SettingsError(f"{setting} {fault}")
    return expression


def _fault(node: Any, *, is_response: bool) -> str | None:
    """Return what is wrong with a node of an expression.

    Args:
        node: the node of JMESPath's syntax tree.
        is_response: whether the node sees the whole response.
    """
    if not isinstance(node, dict):  # a bound of a slice
        return None
    kind, name, children = node["type"], node.get("value"), node["children"]
    if kind == "field" and is_response and name not in _MEMBERS:
        return (
            f"uses {name}, which a response does not have: it has status, headers and body."
            f" If {name} is a text, put it in single quotes"
        )
    # The library's ``!`` binds tighter than a dot, so this would select from true or false.
    if kind in _PATHS - {"pipe"} and children[0]["type"] == "not_expression":
        return "selects from the result of !. Write !(body.field) in place of !body.field"
    if kind == "function_expression" and (fault := _function_fault(name, len(children))):
        return fault
    for index, child in enumerate(children):
        sees_response = is_response and kind != "expref" and not (kind in _PATHS and index)
        if fault := _fault(child, is_response=sees_response):
            return fault
    return None


def _function_fault(name: Any, given: int) -> str | None:
    function = Functions.FUNCTION_TABLE.get(name)
    if function is None:
        return f"uses {name}(), which is no function of JMESPath"
    signature = function["signature"]
    is_variadic = bool(signature) and signature[-1].get("variadic", False)
    if given == len(signature) or (is_variadic and given > len(signature)):
        return None
    return f"gives {name}() {given} arguments instead of {len(signature)}"
