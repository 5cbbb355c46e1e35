"""Read ``.chalice/resources.json``: what the deployment has beyond what Chalice says by itself.

``make deploy`` merges it into Chalice's template. ``chalice deploy`` knows no templates, so the
same statements reach it in two parts: settings of the functions go into its configuration
(``configure``), and the rest is a stack of its own (``companion``).
"""

import json
from collections.abc import Mapping
from typing import Any

from deploy.package import PROJECT, rename_stage


class ParameterError(Exception):
    """A parameter has no value, or one that the template does not allow. For operators."""


def read(stage: str) -> dict[str, Any]:
    """Return the merge template of a stage."""
    text = (PROJECT / ".chalice" / "resources.json").read_text(encoding="utf-8")
    template: dict[str, Any] = json.loads(rename_stage(stage, text))
    return template


def logical_name(function: str) -> str:
    """Return Chalice's name for a function in a template: "LegacyCheck" for "legacy-check"."""
    if function == "api_handler":
        return "APIHandler"
    return "".join(word.capitalize() for word in function.split("-"))


def resolved(value: Any, template: Mapping[str, Any], parameters: Mapping[str, str]) -> Any:
    """Return a value of the template with the values of parameters in place of references.

    Members whose value is ``AWS::NoValue`` are left out, as CloudFormation does.

    Raises:
        ParameterError: a parameter has no value, or the value needs what only CloudFormation knows.
    """
    if isinstance(value, list):
        return [resolved(each, template, parameters) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": "AWS::NoValue"}:
            return None
        case {"Ref": str(name)} if name in template["Parameters"]:
            text = parameter(name, template, parameters)
            listed = template["Parameters"][name]["Type"].startswith(("List<", "CommaDelimited"))
            return [each.strip() for each in text.split(",")] if listed else text
        case {"Fn::If": [str(condition), chosen, otherwise]}:
            holds = _holds(template["Conditions"][condition], template, parameters)
            return resolved(chosen if holds else otherwise, template, parameters)
    if any(name == "Ref" or name.startswith("Fn::") for name in value):
        raise ParameterError(f"{json.dumps(value)} has no value outside of CloudFormation.")
    members = {name: resolved(each, template, parameters) for name, each in value.items()}
    return {name: each for name, each in members.items() if each is not None}


def parameter(name: str, template: Mapping[str, Any], parameters: Mapping[str, str]) -> str:
    """Return the value of a parameter, or its default.

    Raises:
        ParameterError: it has neither.
    """
    declared = template["Parameters"][name]
    if name not in parameters and "Default" not in declared:
        raise ParameterError(f"Set {name}: {declared['Description']}")
    return str(parameters.get(name, declared.get("Default")))


def _holds(condition: Any, template: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
    match condition:
        case {"Condition": str(name)}:
            return _holds(template["Conditions"][name], template, parameters)
        case {"Fn::Not": [each]}:
            return not _holds(each, template, parameters)
        case {"Fn::And": [*several]}:
            return all(_holds(each, template, parameters) for each in several)
        case {"Fn::Or": [*several]}:
            return any(_holds(each, template, parameters) for each in several)
        case {"Fn::Equals": [one, other]}:
            first, second = (resolved(each, template, parameters) for each in (one, other))
            return str(first) == str(second)
    raise ParameterError(f"{json.dumps(condition)} has no value outside of CloudFormation.")
