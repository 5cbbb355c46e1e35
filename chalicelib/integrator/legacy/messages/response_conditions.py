"""Judge responses by the operator's conditions: JMESPath expressions over the response.

A condition sees ``{status, headers, body}``. ``headers`` has lower-case names, and of several lines
the first, unless they are a list; ``body`` is JSON if it is JSON, and text otherwise. A condition
holds only if its result is ``true``. With any other result, and with an error, it does not hold;
the first such case is logged.

    asked in this order   the call is
    ─────────────────────────────────────────────────────────────
    LEGACY_DELIVERED      DELIVERED
    LEGACY_DUPLICATE      DELIVERED; the record's log says so
    LEGACY_RETRY          OVERLOADED: uses up no attempt
    LEGACY_REFUSED        REFUSED

If the body is not whole, only those before the first that may read it are asked: "no error in it"
holds for many a part of a body, and for what nobody can read; and a condition must not decide in
place of one that is asked before it.

What none of them decides falls to the rules of ``outcome``.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from jmespath.exceptions import JMESPathTypeError

from chalicelib.integrator.legacy.messages import media_type
from chalicelib.integrator.legacy.messages.condition_syntax import (
    compile_condition,
    reads_body,
)
from chalicelib.integrator.legacy.messages.response_outcome import OUTCOME_OF_CONDITION
from chalicelib.integrator.outcome import CREDENTIALS_REFUSED, CallResult
from chalicelib.telemetry import event

# JMESPath's types, for messages.
_TYPES = {
    "string": "a text",
    "number": "a number",
    "object": "an object",
    "array": "a list",
    "boolean": "true or false",
    "null": "a value that is missing",
}
# A longer integer would need quadratic time.
_MAX_INTEGER_DIGITS = 18


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer, strict=False)
_AROUND_JSON = "\0 \t\r\n"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: the setting it comes from, and its compiled expression."""

    setting: str
    expression: Any


class ResponseConditions:
    """The conditions of a legacy, in the order in which they are asked.

    Attributes:
        define_delivery: whether LEGACY_DELIVERED is one of them.
        need_whole_body: the settings of those that are asked only if the body is whole.

    Args:
        texts: the expression of each setting in ``OUTCOME_OF_CONDITION``; empty or absent if there
            is none.

    Raises:
        SettingsError: an expression is invalid. The message names the setting and the reason.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._conditions = [
            Condition(name, compile_condition(name, text))
            for name in OUTCOME_OF_CONDITION
            if (text := texts.get(name))
        ]
        self.define_delivery = bool(texts.get("LEGACY_DELIVERED"))
        self._of_any_body = list(
            takewhile(lambda each: not reads_body(each.expression), self._conditions)
        )
        self.need_whole_body = tuple(
            each.setting for each in self._conditions[len(self._of_any_body) :]
        )
        self._lock = threading.Lock()
        self._logged: set[str] = set()

    def judge(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        latency_s: float,
        retry_after_s: float | None,
        *,
        is_whole: bool,
    ) -> CallResult | None:
        """Judge a response, of whose body a part may be missing or unreadable.

        Args:
            status: the HTTP status.
            headers: by lower-case names.
            body: the body, without a Content-Encoding.
            latency_s: how long the call took.
            retry_after_s: how long the legacy asks us to wait; None if it does not.
            is_whole: whether the body is whole; if not, no condition sees it.

        Returns:
            None if the default rules must judge it.
        """
        text = media_type.decode_text(body, headers.get("content-type", ""))
        if is_whole:
            matching = self._matching(self._conditions, status, headers, _value(text))
        else:
            matching = self._matching(self._of_any_body, status, headers, None)
        setting = next(matching, None)
        if setting is None:
            return None
        outcome = OUTCOME_OF_CONDITION[setting]
        if setting == "LEGACY_DELIVERED":
            return CallResult(outcome, latency_s, status, decided_by=setting)
        if setting == "LEGACY_DUPLICATE":
            log = f"The legacy already had the record. HTTP {status}: {text}"
            return CallResult(outcome, latency_s, status, log, decided_by=setting)
        return CallResult(
            outcome,
            latency_s,
            status,
            f"HTTP {status}, judged by {setting}: {text}",
            retry_after_s,
            credentials_refused=setting == "LEGACY_RETRY" and status in CREDENTIALS_REFUSED,
            decided_by=setting,
        )

    def matching(self, status: int, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        """Yield the setting of each condition that holds, in order."""
        text = media_type.decode_text(body, headers.get("content-type", ""))
        return self._matching(self._conditions, status, headers, _value(text))

    def errors(self, status: int, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        """Yield an error for each condition that would be asked, and cannot judge the response."""
        text = media_type.decode_text(body, headers.get("content-type", ""))
        response = {"status": status, "headers": headers, "body": _value(text)}
        for each in self._conditions:
            answer = _evaluate(each, response)
            if answer is True:
                return
            if answer:
                yield f"{each.setting} cannot judge this response: {answer}."

    def _matching(
        self, conditions: Sequence[Condition], status: int, headers: Mapping[str, str], body: object
    ) -> Iterator[str]:
        response = {"status": status, "headers": headers, "body": body}
        for each in conditions:
            if self._holds(each, response):
                yield each.setting

    def _holds(self, condition: Condition, response: Mapping[str, Any]) -> bool:
        answer = _evaluate(condition, response)
        if isinstance(answer, str):
            self._log_once(condition.setting, answer)
        return answer is True

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
        resolved: returns the value of a setting by its name in lower case, behind its reference.

    Raises:
        SettingsError: an expression is invalid.
    """
    texts = {name: resolved(name.lower()) for name in OUTCOME_OF_CONDITION}
    return ResponseConditions(texts) if any(texts.values()) else None


def _evaluate(condition: Condition, response: Mapping[str, Any]) -> bool | str:
    """Return whether a condition holds, or as a text why it cannot judge the response."""
    try:
        result = condition.expression.search(response)
    except JMESPathTypeError as error:
        return f"{error.function_name}() does not take {_TYPES.get(error.actual_type, 'this')}"
    except Exception as error:  # noqa: BLE001 - JMESPath lets errors of Python through
        return type(error).__name__
    if result is None or isinstance(result, bool):
        return result is True
    kinds = {str: "a text", dict: "an object", list: "a list"}
    kind = next((name for of, name in kinds.items() if isinstance(result, of)), "a number")
    return f"its result is {kind}, not true or false"


def _value(text: str) -> Any:
    """Return what conditions see of a body: JSON, or else text."""
    try:
        return _DECODER.decode(text.strip(_AROUND_JSON))
    except (ValueError, RecursionError):
        return text
