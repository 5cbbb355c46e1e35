"""Compile a condition, find what it reads, and find what JMESPath finds only late, or never.

JMESPath gives null for an unknown name, and false if a number is compared with a text. Such a
condition would never hold: a legacy's refusals would be taken for failures, or the reverse.
"""

from contextlib import suppress
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from chalicelib.settings import SettingsError

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
# Functions whose first argument is a text or a list, so not the status.
_OF_TEXTS = frozenset({"contains", "ends_with", "length", "starts_with"})
_COMPARISONS = "Compare it with a number in backticks: status == `200`"


def compile_condition(setting: str, text: str) -> Any:
    """Compile an expression, and find what would only fail or never hold when it is evaluated.

    Raises:
        SettingsError: the expression is invalid.
    """
    try:
        expression = jmespath.compile(text)
        fault = _fault(expression.parsed, is_response=True)
        # Evaluation nests deeper than compilation. ``ResponseConditions`` reports other errors.
        with suppress(JMESPathError, TypeError, ValueError):
            expression.search({"status": 200, "headers": {}, "body": None})
    except RecursionError:
        raise SettingsError(f"{setting} is too long or too deeply nested") from None
    except (JMESPathError, ValueError) as error:
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise SettingsError(f"{setting} is not a JMESPath expression: {reason}") from None
    if fault:
        raise SettingsError(f"{setting} {fault}")
    if any(_is_field(expression.parsed, each) for each in ("status", "headers")):
        raise SettingsError(f"{setting} is {text}, which is neither true nor false. {_COMPARISONS}")
    return expression


def reads_body(expression: Any) -> bool:
    """Return whether a compiled expression may read the body of a response.

    It does if it has the field ``body`` where the whole response is seen, or takes all of the
    response, as by ``@`` or ``*``.
    """
    nodes = [expression.parsed]
    while nodes:
        node = nodes.pop()
        kind, children = node["type"], node["children"]
        if kind == "field":
            if node["value"] == "body":
                return True
        elif kind in _PATHS:
            nodes.append(children[0])
        elif kind == "expref":
            pass  # it sees elements of another argument
        elif children:
            nodes += children
        elif kind != "literal":  # ``current`` and ``identity``: all of the response
            return True
    return False


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
    if is_response and (fault := _type_fault(kind, name, children)):
        return fault
    for index, child in enumerate(children):
        sees_response = is_response and kind != "expref" and not (kind in _PATHS and index)
        if fault := _fault(child, is_response=sees_response):
            return fault
    return None


def _type_fault(kind: str, name: Any, children: list[Any]) -> str | None:
    """Return what can never hold, since the status is a number and names of headers lower-case."""
    if kind == "subexpression" and _is_field(children[0], "headers"):
        header = children[1].get("value")
        if isinstance(header, str) and header != header.lower():
            return f'uses the header {header}. The names are lower-case: headers."{header.lower()}"'
    if kind == "comparator" and any(_is_field(each, "status") for each in children):
        literals = [each["value"] for each in children if each["type"] == "literal"]
        if any(isinstance(each, bool) or not isinstance(each, int | float) for each in literals):
            return f"compares the status, a number, with something else. {_COMPARISONS}"
    if kind == "function_expression" and name in _OF_TEXTS and _is_field(children[0], "status"):
        return f"gives the status, a number, to {name}(). {_COMPARISONS}"
    return None


def _is_field(node: Any, name: str) -> bool:
    return isinstance(node, dict) and node["type"] == "field" and node["value"] == name


def _function_fault(name: Any, given: int) -> str | None:
    function = Functions.FUNCTION_TABLE.get(name)
    if function is None:
        return f"uses {name}(), which is no function of JMESPath"
    signature = function["signature"]
    is_variadic = bool(signature) and signature[-1].get("variadic", False)
    if given == len(signature) or (is_variadic and given > len(signature)):
        return None
    return f"gives {name}() {given} arguments instead of {len(signature)}"
