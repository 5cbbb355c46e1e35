"""Write the stack that stands beside a stage of ``chalice deploy``.

It has all of ``.chalice/resources.json`` that is neither a function nor a part of the API: tables,
the queue, log groups, alarms, the dashboard. Functions are named where the merged template refers
to them. What needs a function to exist (how Lambda treats failed events) comes with
``FunctionsExist=true``, after ``chalice deploy``.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.merge_template import read

Template = dict[str, Any]

# CloudFormation takes no longer template from a file; a longer one must be in a bucket.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_BYTES = 51_200


def companion(stage: str) -> Template:
    """Return the template of the stack beside a stage of ``chalice deploy``."""
    template = read(stage)
    resources = template["Resources"]
    functions = {
        name: each["Properties"]["FunctionName"]
        for name, each in resources.items()
        if "FunctionName" in each.get("Properties", {}) and "Type" not in each
    }
    kept = {name: each for name, each in resources.items() if "Type" in each}
    kept = _without_dangling(kept, set(functions) | set(kept) | set(template["Parameters"]))
    kept = {
        name: each
        for name, each in kept.items()
        if not (_watches_one_route(each) or _is_access_log(each))
    }
    # ``configure`` gives Chalice's API a stage of this name.
    named = _renamed(kept, functions, api_stage=stage)
    events = {
        f"{name}Events": _event_invoke_config(functions[name], config)
        for name in functions
        if (config := resources[name]["Properties"].get("EventInvokeConfig"))
    }
    parts: Template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"What chalice deploy --stage {stage} needs and does not make",
        "Parameters": {
            **template["Parameters"],
            "FunctionsExist": {
                "Type": "String",
                "AllowedValues": ["true", "false"],
                "Default": "false",
                "Description": "true after chalice deploy, which may make new functions.",
            },
        },
        "Conditions": {
            **template.get("Conditions", {}),
            "FunctionsExist": {"Fn::Equals": [{"Ref": "FunctionsExist"}, "true"]},
        },
        "Resources": named | events,
        "Outputs": {
            name: each
            for name, each in template.get("Outputs", {}).items()
            if _references(each) <= set(named)
        },
    }
    return _without_unused(parts)


def write(stage: str, path: Path) -> None:
    """Write the template of a stage, as short as it can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(companion(stage), separators=(",", ":")), encoding="utf-8")


def _without_dangling(resources: Template, known: set[str]) -> Template:
    """Leave out resources that need the API or an alias, directly or through others."""
    needs = {
        name: _references(each) | set(each.get("DependsOn", [])) for name, each in resources.items()
    }
    left = set(resources)
    while unmet := {name for name in left if needs[name] - known}:
        left -= unmet
        known = known - unmet
    return {name: resources[name] for name in resources if name in left}


def _references(value: Any) -> set[str]:
    """Return the logical names that a value refers to, without pseudo parameters."""
    if isinstance(value, list):
        return {name for each in value for name in _references(each)}
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, each in value.items():
        if key == "Ref":
            found.add(each)
        elif key == "Fn::GetAtt":
            found.add(each[0] if isinstance(each, list) else each.partition(".")[0])
        elif key == "Fn::Sub":
            text = each if isinstance(each, str) else each[0]
            found |= {name.partition(".")[0] for name in re.findall(r"\$\{([^}!]+)\}", text)}
            found |= _references(each)
        else:
            found |= _references(each)
    return {name for name in found if not name.startswith("AWS::")}


def _watches_one_route(resource: Template) -> bool:
    """Return whether an alarm needs metrics of one route, which Chalice does not enable."""
    return {"Name": "Method", "Value": "POST"} in _dimensions(resource)


def _is_access_log(resource: Template) -> bool:
    """Return whether a log group is that of the API's stage, which Chalice makes without one."""
    return str(resource["Properties"].get("LogGroupName")).startswith("/aws/apigateway/")


def _dimensions(resource: Template) -> Iterable[Any]:
    properties = resource["Properties"]
    yield from properties.get("Dimensions", [])
    for each in properties.get("Metrics", []):
        yield from each.get("MetricStat", {}).get("Metric", {}).get("Dimensions", [])


def _renamed(resources: Template, functions: dict[str, str], api_stage: str) -> Template:
    """Name functions where a resource refers to them, and the API as Chalice names it."""

    def named(value: Any) -> Any:
        match value:
            case {"Ref": str(name)} if name in functions:
                return functions[name]
            case {"Name": "ApiName"}:
                return {"Name": "ApiName", "Value": "punch-clock"}
            case dict():
                return {key: named(each) for key, each in value.items()}
            case list():
                return [named(each) for each in value]
        return value

    renamed: Template = named(resources)
    for each in renamed.values():
        dimensions = each["Properties"].get("Dimensions", [])
        # All stages of Chalice have APIs of one name.
        if [every["Name"] for every in dimensions] == ["ApiName"]:
            dimensions.append({"Name": "Stage", "Value": api_stage})
    return renamed


def _event_invoke_config(function: str, config: Template) -> Template:
    """Return how Lambda treats the failed events of a function, from SAM's property."""
    properties = {
        "FunctionName": function,
        "Qualifier": "$LATEST",
        **{name: each for name, each in config.items() if name != "DestinationConfig"},
    }
    if "DestinationConfig" in config:
        queue = config["DestinationConfig"]["OnFailure"]["Destination"]
        properties["DestinationConfig"] = {"OnFailure": {"Destination": queue}}
    return {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Condition": "FunctionsExist",
        "Properties": properties,
    }


def _without_unused(template: Template) -> Template:
    """Leave out parameters and conditions that nothing refers to."""
    used = {each.get("Condition") for each in template["Resources"].values() if "Condition" in each}
    text = json.dumps(template["Resources"])
    conditions = {
        name: each
        for name, each in template["Conditions"].items()
        if name in used or f'"{name}"' in text
    }
    references = _references([template["Resources"], conditions])
    parameters = {name: each for name, each in template["Parameters"].items() if name in references}
    return {**template, "Conditions": conditions, "Parameters": parameters}
