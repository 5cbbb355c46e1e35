"""The stack beside a stage of ``chalice deploy`` has all that Chalice does not make."""

import json
from typing import Any

import pytest

from deploy.companion import _references, companion
from deploy.merge_template import read
from tests.support.deployed_template import FUNCTIONS, ROUTES

TEMPLATE = companion("plant7")
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, Any]:
    return {name: each for name, each in RESOURCES.items() if each["Type"] == kind}


def test_every_resource_that_needs_no_api_is_there() -> None:
    merged = {name for name, each in read("plant7")["Resources"].items() if "Type" in each}
    left_out = merged - set(RESOURCES)
    # API Gateway calls an alias of intake only where CloudFormation deploys it.
    permissions = {"IntakeInvokePermission", "IntakePreflightPermission"}
    alias = permissions | {"IntakeWarmth", "RefusedShareAlarm"}
    edge = {"AccessLogGroup", "Domain", "DomainMapping", "WebAcl", "WebAclOfApi"}
    assert left_out == alias | edge


def test_nothing_refers_to_what_is_not_there() -> None:
    known = set(RESOURCES) | set(TEMPLATE["Parameters"]) | set(TEMPLATE["Conditions"])
    assert _references(TEMPLATE["Resources"]) <= known
    assert _references(TEMPLATE["Outputs"]) <= set(RESOURCES)
    assert "punch-clock-prod" not in json.dumps(TEMPLATE)


def test_parameters_are_those_that_something_uses() -> None:
    used = _references([TEMPLATE["Resources"], TEMPLATE["Conditions"]])
    assert set(TEMPLATE["Parameters"]) == used & set(TEMPLATE["Parameters"])
    assert "ProtectTable" in used
    assert "JwksUrl" not in TEMPLATE["Parameters"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_has_a_log_group_and_alarms_by_its_name(function: str) -> None:
    name = "punch-clock-plant7" + ("" if function == ROUTES else f"-{function}")
    groups = [
        each["Properties"]["LogGroupName"] for each in of_type("AWS::Logs::LogGroup").values()
    ]
    assert f"/aws/lambda/{name}" in groups
    watched = [
        each["Properties"]["MetricName"]
        for each in of_type("AWS::CloudWatch::Alarm").values()
        if {"Name": "FunctionName", "Value": name} in each["Properties"].get("Dimensions", [])
    ]
    assert sorted(watched) == ["Duration", "Errors", "Throttles"]


def test_alarm_of_the_api_watches_the_stage_of_chalices_api() -> None:
    assert RESOURCES["ApiErrorsAlarm"]["Properties"]["Dimensions"] == [
        {"Name": "ApiName", "Value": "punch-clock"},
        {"Name": "Stage", "Value": "plant7"},
    ]


def test_events_of_functions_are_configured_once_the_functions_exist() -> None:
    configs = of_type("AWS::Lambda::EventInvokeConfig")
    named = {each["Properties"]["FunctionName"] for each in configs.values()}
    merged = read("plant7")["Resources"].values()
    assert named == {
        each["Properties"]["FunctionName"]
        for each in merged
        if "EventInvokeConfig" in each.get("Properties", {})
    }
    assert {each["Condition"] for each in configs.values()} == {"FunctionsExist"}
    assert TEMPLATE["Parameters"]["FunctionsExist"]["Default"] == "false"
    reconcile = RESOURCES["ReconcileEvents"]["Properties"]
    assert reconcile["DestinationConfig"]["OnFailure"] == {
        "Destination": {"Fn::GetAtt": ["Failures", "Arn"]}
    }
