"""API Gateway calls an alias of intake; each of its parameters does one thing."""

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.revision import revision
from local.child_process import PROJECT
from tests.aws.conftest import PARAMETERS, transform
from tests.support.deployed_template import PROD, deployed_name

ALIAS = "IntakeAliaslive"


def versions(document: dict[str, Any]) -> set[str]:
    return {
        name
        for name, each in document["Resources"].items()
        if each["Type"] == "AWS::Lambda::Version"
    }


def test_only_intake_has_a_version_and_the_alias_leads_to_it(transformed: dict[str, Any]) -> None:
    (version,) = versions(transformed)
    assert transformed["Resources"][version]["Properties"]["FunctionName"] == {"Ref": "Intake"}
    alias = transformed["Resources"][ALIAS]["Properties"]
    assert alias["Name"] == "live"
    assert alias["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}
    assert "ProvisionedConcurrencyConfig" not in alias


def test_api_gateway_may_invoke_the_alias_and_invokes_it(transformed: dict[str, Any]) -> None:
    permissions = [
        each["Properties"]
        for each in transformed["Resources"].values()
        if each["Type"] == "AWS::Lambda::Permission"
        and each["Properties"]["FunctionName"] == {"Ref": ALIAS}
    ]
    allowed = {each["SourceArn"]["Fn::Sub"].partition("${RestAPI}")[2] for each in permissions}
    assert allowed == {"/*/POST/point-record", "/*/OPTIONS/point-record"}
    paths = transformed["Resources"]["RestAPI"]["Properties"]["Body"]["paths"]
    for method in ("post", "options"):
        integration = paths["/point-record"][method]["x-amazon-apigateway-integration"]
        assert f"functions/${{{ALIAS}}}/invocations" in integration["uri"]["Fn::Sub"]


def revised(template: dict[str, Any], archive: bytes, **changed: str) -> dict[str, str]:
    """Return the parameters with some changed, and with the revision that belongs to them."""
    parameters = PARAMETERS | changed
    return parameters | {"IntakeRevision": revision(template, archive, parameters)}


@pytest.mark.parametrize(
    "changed",
    [
        {"JwksUrl": "https://other.example/jwks.json"},
        {"Tracing": "Active"},
        {"IntakeSnapStart": "PublishedVersions"},
    ],
    ids=str,
)
def test_change_of_a_parameter_of_intake_publishes_a_version(
    template: dict[str, Any], changed: dict[str, str]
) -> None:
    """SAM hashes parameters by their names, so the alias would go on with the previous values."""
    before = transform(template, revised(template, b"zip"))
    after = transform(template, revised(template, b"zip", **changed))
    assert versions(before) != versions(after)
    # Lambda publishes no version of a function that has not changed. The revision changes it.
    described = [
        each["Resources"]["Intake"]["Properties"]["Description"] for each in (before, after)
    ]
    assert described[0] != described[1]


def test_change_of_the_code_or_of_the_memory_publishes_a_version(
    template: dict[str, Any],
) -> None:
    more = copy.deepcopy(template)
    more["Resources"]["Intake"]["Properties"]["MemorySize"] = 1769
    revisions = {
        revision(template, b"zip", PARAMETERS),
        revision(template, b"another zip", PARAMETERS),
        revision(more, b"zip", PARAMETERS),
    }
    assert len(revisions) == 3


@pytest.mark.parametrize("changed", [{"WarmIntake": "9"}, {"SubnetIds": "subnet-2"}], ids=str)
def test_change_of_another_parameter_publishes_no_version(
    template: dict[str, Any], changed: dict[str, str]
) -> None:
    """A new version starts cold."""
    assert (
        revised(template, b"", **changed)["IntakeRevision"]
        == (revised(template, b"")["IntakeRevision"])
    )


def test_revision_needs_every_parameter_of_intake(packaged: Path) -> None:
    command = [sys.executable, "-m", "deploy.revision", str(packaged)]
    given = [f"{name}={value}" for name, value in PARAMETERS.items()]
    done = subprocess.run([*command, *given], capture_output=True, text=True, cwd=PROJECT)
    assert re.fullmatch("[0-9a-f]{64}\n", done.stdout)
    without = [each for each in given if not each.startswith("JwksUrl")]
    done = subprocess.run([*command, *without], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "JwksUrl=" in done.stderr


def test_snapstart_is_one_parameter(template: dict[str, Any]) -> None:
    assert template["Resources"]["Intake"]["Properties"]["SnapStart"] == {
        "ApplyOn": {"Ref": "IntakeSnapStart"}
    }
    assert set(template["Parameters"]["IntakeSnapStart"]["AllowedValues"]) == {
        "None",
        "PublishedVersions",
    }


def test_intake_is_warm_at_the_shift_changes_if_one_parameter_is_set(
    template: dict[str, Any],
) -> None:
    warm = template["Resources"]["IntakeWarmth"]
    condition = template["Conditions"][warm["Condition"]]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "WarmIntake"}, "0"]}]}
    target = warm["Properties"]
    assert target["ResourceId"] == {"Fn::Sub": "function:${Intake}:live"}
    assert target["MinCapacity"] == target["MaxCapacity"] == 0
    start, end = target["ScheduledActions"]
    assert start["Schedule"] == {"Ref": "WarmFrom"}
    assert set(map(str, start["ScalableTargetAction"].values())) == {"{'Ref': 'WarmIntake'}"}
    assert end["Schedule"] == {"Ref": "WarmUntil"}
    assert set(end["ScalableTargetAction"].values()) == {0}
    # Lambda refuses more provisioned than reserved concurrency.
    reserved = PROD["lambda_functions"]["intake"]["reserved_concurrency"]
    assert template["Parameters"]["WarmIntake"]["MaxValue"] == reserved


def test_warm_environments_and_snapstart_exclude_each_other(template: dict[str, Any]) -> None:
    (assertion,) = template["Rules"]["SnapStartOrWarm"]["Assertions"]
    assert assertion["Assert"] == {
        "Fn::Or": [
            {"Fn::Equals": [{"Ref": "WarmIntake"}, "0"]},
            {"Fn::Equals": [{"Ref": "IntakeSnapStart"}, "None"]},
        ]
    }


@pytest.mark.parametrize("kind", ["Canary10Percent5Minutes", "Linear10PercentEvery1Minute"])
def test_gradual_deployment_is_one_parameter_and_watches_the_alarms_of_intake(
    template: dict[str, Any], transformed: dict[str, Any], kind: str
) -> None:
    assert "UpdatePolicy" not in transformed["Resources"][ALIAS]
    gradual = transform(template, PARAMETERS | {"IntakeDeployment": kind})
    assert "CodeDeployLambdaAliasUpdate" in gradual["Resources"][ALIAS]["UpdatePolicy"]
    (group,) = [
        each["Properties"]
        for each in gradual["Resources"].values()
        if each["Type"] == "AWS::CodeDeploy::DeploymentGroup"
    ]
    assert kind in str(group["DeploymentConfigName"])
    watched = {each["Name"]["Ref"] for each in group["AlarmConfiguration"]["Alarms"]}
    assert watched == {"IntakeErrorsAlarm", "RefusedShareAlarm"}
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_name_of_the_function_stays(transformed: dict[str, Any]) -> None:
    name = transformed["Resources"]["Intake"]["Properties"]["FunctionName"]
    assert name == deployed_name("intake")
