"""The packaged template: sound by cfn-lint, and with all that each function has to have."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.telemetry import METRICS
from chalicelib.web.headers import OF_GATEWAY
from deploy.package import StageError, stage_source
from local.process import PROJECT
from tests.support.deployed_template import (
    CONFIG,
    FUNCTIONS,
    OPERATORS,
    PROD,
    ROUTES,
    SCHEDULES,
    deployed_name,
)

Resource = dict[str, Any]


def lint(*paths: Path) -> str:
    """Return what cfn-lint finds."""
    command = [Path(sys.executable).parent / "cfn-lint", "--regions", "eu-central-1", "--", *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    return done.stdout + done.stderr


def logical_name(function: str) -> str:
    if function == ROUTES:
        return "APIHandler"
    return "".join(word.capitalize() for word in function.split("-"))


def properties(template: dict[str, Any], function: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][logical_name(function)]["Properties"]
    return found


def of_type(template: dict[str, Any], kind: str) -> dict[str, Resource]:
    return {
        name: each["Properties"]
        for name, each in template["Resources"].items()
        if each["Type"] == kind
    }


def test_cfn_lint_finds_nothing(packaged: Path, transformed: Any, tmp_path: Path) -> None:
    (tmp_path / "transformed.json").write_text(json.dumps(transformed))
    database = PROJECT / "deploy" / "database.yaml"
    assert lint(packaged, tmp_path / "transformed.json", database) == ""


def test_the_stage_of_this_machine_cannot_be_deployed(tmp_path: Path) -> None:
    """Lambda reserves some of its variables, so that neither chalice nor CloudFormation can."""
    path = tmp_path / "template.json"
    function = {
        "Code": {"ZipFile": "x"},
        "Handler": "app.app",
        "Role": "arn:aws:iam::123456789012:role/x",
        "Runtime": "python3.12",
        "Environment": {"Variables": CONFIG["stages"]["dev"]["environment_variables"]},
    }
    path.write_text(
        json.dumps({"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": function}}})
    )
    assert re.search(r"E3663.*AWS_ACCESS_KEY_ID.*reserved", lint(path))


def test_a_stage_is_prod_under_its_own_name(tmp_path: Path) -> None:
    stage_source("dev", tmp_path / "source")
    configured = {
        path.name: path.read_text() for path in (tmp_path / "source" / ".chalice").iterdir()
    }
    everything = "".join(configured.values())
    assert not re.search(r"punch-clock[-/]prod|policy-prod", everything)
    local = CONFIG["stages"]["dev"]["environment_variables"].values()
    assert not [value for value in local if f'"{value}"' in everything]
    config = json.loads(configured["config.json"])
    assert list(config["stages"]) == ["dev"]
    for function in config["stages"]["dev"]["lambda_functions"].values():
        assert function["iam_policy_file"] in configured


@pytest.mark.parametrize("name", ["", "x", "Prod", "a b", "../x", "a" * 17, "9lives"])
def test_a_stage_has_a_name_that_all_of_aws_takes(name: str, tmp_path: Path) -> None:
    with pytest.raises(StageError):
        stage_source(name, tmp_path / "source")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_is_bounded_and_known_by_name(
    function: str, template: dict[str, Any]
) -> None:
    found = properties(template, function)
    assert found["FunctionName"] == deployed_name(function)
    assert 512 <= found["MemorySize"] <= 1769  # up to one core: none uses two
    assert 25 <= found["Timeout"] <= 900
    assert found["ReservedConcurrentExecutions"] >= 1
    assert found["Tracing"] == {"Ref": "Tracing"}
    assert ("VpcConfig" in found) == (function != "intake")
    logs = of_type(template, "AWS::Logs::LogGroup")
    (retention,) = [
        each["RetentionInDays"]
        for each in logs.values()
        if each["LogGroupName"] == f"/aws/lambda/{deployed_name(function)}"
    ]
    assert retention == PROD["log_retention_in_days"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_is_watched(function: str, template: dict[str, Any]) -> None:
    mine = {
        alarm["MetricName"]: alarm
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if {"Name": "FunctionName", "Value": {"Ref": logical_name(function)}}
        in alarm.get("Dimensions", [])
    }
    assert set(mine) == {"Errors", "Throttles", "Duration"}
    timeout_ms = PROD["lambda_functions"][function]["lambda_timeout"] * 1000
    assert timeout_ms / 5 <= mine["Duration"]["Threshold"] < timeout_ms


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_what_a_schedule_could_not_do_is_kept(schedule: str, template: dict[str, Any]) -> None:
    found = properties(template, schedule)
    failures = {"Fn::GetAtt": ["Failures", "Arn"]}
    on_failure = found["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
    assert on_failure == {"Type": "SQS", "Destination": failures}
    (rule,) = found["Events"].values()
    assert rule["Properties"]["DeadLetterConfig"] == {"Arn": failures}
    assert rule["Properties"]["Schedule"].startswith("rate(")


@pytest.mark.parametrize("function", sorted(OPERATORS))
def test_what_an_operator_asks_is_done_once_and_kept_nowhere(
    function: str, template: dict[str, Any]
) -> None:
    """What nobody waits for would else be tried again, and kept with its token until then."""
    found = properties(template, function)
    assert found["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}
    assert "Events" not in found


def test_phones_and_queries_do_not_share_a_function(template: dict[str, Any]) -> None:
    paths = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    served = {
        (path, method.upper()): re.findall(r"\$\{(\w+)\.Arn\}", json.dumps(operation))
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    assert set(served) == {
        (path, method) for path, methods in app.app.routes.items() for method in methods
    }
    of_intake = {route for route, function in served.items() if function == ["Intake"]}
    assert of_intake == {("/point-record", "POST")}
    assert all(served[route] == ["APIHandler"] for route in set(served) - of_intake)
    invoked = of_type(template, "AWS::Lambda::Permission")
    assert {each["FunctionName"]["Ref"] for each in invoked.values()} == {"Intake", "APIHandler"}


def test_the_api_has_the_name_that_its_alarm_looks_for(template: dict[str, Any]) -> None:
    api = template["Resources"]["RestAPI"]["Properties"]
    alarm = template["Resources"]["ApiErrorsAlarm"]["Properties"]
    # Of the two names of an API, that in its body is the one that AWS takes.
    assert alarm["Dimensions"] == [
        {"Name": "ApiName", "Value": api["DefinitionBody"]["info"]["title"]}
    ]
    assert api["Name"] == api["DefinitionBody"]["info"]["title"]


def test_the_table_is_ready_for_a_shift_change_and_cannot_be_lost(
    template: dict[str, Any],
) -> None:
    table = template["Resources"]["PointRecordTable"]
    found = table["Properties"]
    assert found["TableName"] == PROD["environment_variables"]["POINT_RECORD_TABLE"]
    assert found["BillingMode"] == "PAY_PER_REQUEST"
    assert found["WarmThroughput"]["WriteUnitsPerSecond"] >= 100_000 / 15
    assert found["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert found["SSESpecification"]["SSEEnabled"]
    assert found["DeletionProtectionEnabled"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"


def test_what_api_gateway_answers_itself_has_the_one_error_shape_for_any_page(
    template: dict[str, Any],
) -> None:
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    answers = body["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(answers)
    assert answers["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == 404  # an unknown path
    assert answers["REQUEST_TOO_LARGE"]["statusCode"] == 413
    assert answers["THROTTLED"]["statusCode"] == 429
    for answer in answers.values():
        text = answer["responseTemplates"]["application/json"]
        # As API Gateway fills it: the message comes with its quotation marks.
        text = text.replace("$context.error.messageString", '"m"')
        error = json.loads(text.replace("$context.error.responseType", "T"))["error"]
        assert set(error) == {"code", "message"}
        told = {
            f"gatewayresponse.header.{name}": f"'{value}'" for name, value in OF_GATEWAY.items()
        }
        assert told.items() <= answer["responseParameters"].items()


def test_alarms_and_dashboard_look_at_what_is_measured(template: dict[str, Any]) -> None:
    measured = {name for metrics in METRICS.values() for name in metrics}
    namespace = PROD["environment_variables"]["METRICS_NAMESPACE"]
    watched = set()
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]
        stats = [
            each["MetricStat"]["Metric"]
            for each in alarm.get("Metrics", [])
            if "MetricStat" in each
        ]
        watched |= {
            each["MetricName"] for each in [*stats, alarm] if each.get("Namespace") == namespace
        }
    assert watched == {
        *("buffered_age", "waiting_age", "waiting", "integrated", "parked", "quarantined")
    }
    assert watched <= measured
    text = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = [
        metric
        for widget in json.loads(text)["widgets"]
        for metric in widget["properties"]["metrics"]
    ]
    assert {name for space, name, *_ in shown if space == namespace} == measured
    assert {each[3] for each in shown if each[0] == "AWS/Lambda"} == {
        deployed_name(each) for each in FUNCTIONS
    }
