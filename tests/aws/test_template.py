"""The packaged template passes cfn-lint and configures each function."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.telemetry import METRICS
from chalicelib.web.headers import GATEWAY_ERROR_HEADERS
from deploy.package import StageError, copy_source
from deploy.runtime import ARCHITECTURE, RUNTIME
from local.child_process import PROJECT
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

FAILURES_ARN = {"Fn::GetAtt": ["Failures", "Arn"]}


def lint(*paths: Path, ignore: Sequence[str] = ()) -> str:
    """Return the output of cfn-lint, which is empty if it has no findings."""
    command: list[str | Path] = [
        Path(sys.executable).parent / "cfn-lint",
        "--regions",
        "eu-central-1",
        *(f"--ignore-checks={each}" for each in ignore),
        "--",
        *paths,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    return done.stdout + done.stderr


def logical_name(function: str) -> str:
    """Return the name of a function in the template."""
    if function == ROUTES:
        return "APIHandler"
    return "".join(word.capitalize() for word in function.split("-"))


def properties(template: dict[str, Any], function: str) -> dict[str, Any]:
    resource: dict[str, Any] = template["Resources"][logical_name(function)]
    return resource["Properties"]


def of_type(template: dict[str, Any], kind: str) -> dict[str, Resource]:
    """Return the properties of each resource of a type, by its name in the template."""
    return {
        name: each["Properties"]
        for name, each in template["Resources"].items()
        if each["Type"] == kind
    }


def test_templates_pass_cfn_lint(packaged: Path, transformed: Any, tmp_path: Path) -> None:
    (tmp_path / "transformed.json").write_text(json.dumps(transformed))
    database = PROJECT / "deploy" / "database.yaml"
    assert lint(packaged, database) == ""
    # SAM has replaced some parameters and the mapping, so nothing uses them any more.
    assert lint(tmp_path / "transformed.json", ignore=["W2001", "W7001"]) == ""


def test_settings_of_stage_dev_are_rejected_by_cfn_lint(tmp_path: Path) -> None:
    """Keep ``dev`` from being deployed: it sets environment variables that Lambda reserves."""
    path = tmp_path / "template.json"
    function = {
        "Code": {"ZipFile": "x"},
        "Handler": "app.app",
        "Role": "arn:aws:iam::123456789012:role/x",
        "Runtime": RUNTIME,
        "Environment": {"Variables": CONFIG["stages"]["dev"]["environment_variables"]},
    }
    path.write_text(
        json.dumps({"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": function}}})
    )
    assert re.search(r"E3663.*AWS_ACCESS_KEY_ID.*reserved", lint(path))


def test_stage_is_a_copy_of_prod_under_its_own_name(tmp_path: Path) -> None:
    copy_source("dev", tmp_path / "source")
    files = {path.name: path.read_text() for path in (tmp_path / "source" / ".chalice").iterdir()}
    text = "".join(files.values())
    assert not re.search(r"punch-clock[-/]prod|policy-prod", text)
    settings_of_dev = CONFIG["stages"]["dev"]["environment_variables"].values()
    assert not [value for value in settings_of_dev if f'"{value}"' in text]
    config = json.loads(files["config.json"])
    assert list(config["stages"]) == ["dev"]
    for function in config["stages"]["dev"]["lambda_functions"].values():
        assert function["iam_policy_file"] in files


@pytest.mark.parametrize("name", ["", "x", "Prod", "a b", "../x", "a" * 16, "9lives"])
def test_invalid_stage_name_is_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="is not a stage name"):
        copy_source(name, tmp_path / "source")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_the_pinned_runtime_and_processor(
    function: str, template: dict[str, Any]
) -> None:
    configured = properties(template, function)
    assert configured["Runtime"] == RUNTIME
    assert configured["Architectures"] == [ARCHITECTURE] == [PROD["lambda_architecture"]]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_bounds_and_keeps_its_logs_for_90_days(
    function: str, template: dict[str, Any]
) -> None:
    configured = properties(template, function)
    assert configured["FunctionName"] == deployed_name(function)
    assert 512 <= configured["MemorySize"] <= 1769  # 1769 MB is one core; no function uses two
    assert 25 <= configured["Timeout"] <= 900
    assert configured["ReservedConcurrentExecutions"] >= 1
    assert configured["Tracing"] == {"Ref": "Tracing"}
    assert ("VpcConfig" in configured) == (function != "intake")
    logs = of_type(template, "AWS::Logs::LogGroup")
    (retention,) = [
        each["RetentionInDays"]
        for each in logs.values()
        if each["LogGroupName"] == f"/aws/lambda/{deployed_name(function)}"
    ]
    assert retention == 90


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_alarms_for_errors_throttles_and_duration(
    function: str, template: dict[str, Any]
) -> None:
    alarms = {
        alarm["MetricName"]: alarm
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if {"Name": "FunctionName", "Value": {"Ref": logical_name(function)}}
        in alarm.get("Dimensions", [])
    }
    assert set(alarms) == {"Errors", "Throttles", "Duration"}
    timeout_ms = PROD["lambda_functions"][function]["lambda_timeout"] * 1000
    assert timeout_ms / 5 <= alarms["Duration"]["Threshold"] < timeout_ms


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_schedule_that_cannot_be_started_goes_to_the_dead_letter_queue(
    schedule: str, template: dict[str, Any]
) -> None:
    for rule in properties(template, schedule)["Events"].values():
        assert rule["Properties"]["DeadLetterConfig"] == {"Arn": FAILURES_ARN}
        assert rule["Properties"]["Schedule"].startswith("rate(")


def test_only_the_hourly_schedule_is_retried_and_queued_if_it_fails(
    template: dict[str, Any],
) -> None:
    """A stale tick of the others is worthless: the next one does its work within minutes."""
    for schedule in SCHEDULES:
        configured = properties(template, schedule)
        rates = {rule["Properties"]["Schedule"] for rule in configured["Events"].values()}
        if rates < {"rate(1 minute)", "rate(5 minutes)"}:
            once = {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
            assert configured["EventInvokeConfig"] == once
            for rule in configured["Events"].values():
                assert rule["Properties"]["RetryPolicy"] == once
        else:
            assert rates == {"rate(1 hour)"}
            assert configured["EventInvokeConfig"]["MaximumRetryAttempts"] == 2
            on_failure = configured["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
            assert on_failure == {"Type": "SQS", "Destination": FAILURES_ARN}


@pytest.mark.parametrize("function", sorted(OPERATORS))
def test_operator_command_is_neither_retried_nor_queued(
    function: str, template: dict[str, Any]
) -> None:
    """Lambda retries an asynchronous invocation, and stores its event with the token until then."""
    configured = properties(template, function)
    assert configured["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}
    assert "Events" not in configured


def test_intake_serves_only_the_post_of_punches_and_its_preflight(template: dict[str, Any]) -> None:
    paths = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    served = {
        (path, method.upper()): re.findall(
            r"functions/\$\{([\w.]+)\}/invocations", json.dumps(operation)
        )
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    assert set(served) == {
        (path, method) for path, methods in app.app.routes.items() for method in methods
    }
    routes_of_intake = {
        route for route, function in served.items() if function == ["IntakeAliaslive"]
    }
    assert routes_of_intake == {("/point-record", "POST"), ("/point-record", "OPTIONS")}
    assert all(served[route] == ["APIHandler.Arn"] for route in set(served) - routes_of_intake)
    invoked = of_type(template, "AWS::Lambda::Permission")
    assert {each["FunctionName"]["Ref"] for each in invoked.values()} == {
        "IntakeAliaslive",
        "APIHandler",
    }


def test_api_alarm_watches_the_deployed_api(template: dict[str, Any]) -> None:
    api = template["Resources"]["RestAPI"]["Properties"]
    alarm = template["Resources"]["ApiErrorsAlarm"]["Properties"]
    # AWS takes the name of an API from its body, not from the resource.
    assert alarm["Dimensions"] == [
        {"Name": "ApiName", "Value": api["DefinitionBody"]["info"]["title"]}
    ]
    assert api["Name"] == api["DefinitionBody"]["info"]["title"]


def test_table_is_warm_encrypted_and_protected_from_deletion(
    template: dict[str, Any],
) -> None:
    table = template["Resources"]["PointRecordTable"]
    configured = table["Properties"]
    assert configured["TableName"] == PROD["environment_variables"]["POINT_RECORD_TABLE"]
    assert configured["BillingMode"] == "PAY_PER_REQUEST"
    assert configured["WarmThroughput"]["WriteUnitsPerSecond"] >= 100_000 / 15
    assert configured["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert configured["SSESpecification"]["SSEEnabled"]
    # The first deployment may fail, and then leaves no table. Later ones protect and keep it.
    assert configured["DeletionProtectionEnabled"] == {"Ref": "ProtectTable"}
    assert template["Parameters"]["ProtectTable"]["Default"] == "true"
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"


def test_table_of_keys_is_deleted_with_the_stack(template: dict[str, Any]) -> None:
    """Its items are copies. Retained or protected, it would stop a rollback and a new stack."""
    table = template["Resources"]["IssuerKeysTable"]
    configured = table["Properties"]
    assert configured["TableName"] == PROD["environment_variables"]["JWKS_TABLE"]
    assert configured["BillingMode"] == "PAY_PER_REQUEST"
    assert configured["SSESpecification"]["SSEEnabled"]
    assert "DeletionProtectionEnabled" not in configured
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Delete"


def test_gateway_errors_have_the_error_envelope_and_cors_headers(
    template: dict[str, Any],
) -> None:
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    responses = body["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(responses)
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == 404  # an unknown path
    assert responses["REQUEST_TOO_LARGE"]["statusCode"] == 413
    for response in responses.values():
        template_text = response["responseTemplates"]["application/json"]
        # API Gateway substitutes a message that includes its quotation marks.
        text = template_text.replace("$context.error.messageString", '"m"')
        error = json.loads(text.replace("$context.error.responseType", "T"))["error"]
        assert set(error) == {"code", "message"}
        headers = {
            f"gatewayresponse.header.{name}": f"'{value}'"
            for name, value in GATEWAY_ERROR_HEADERS.items()
        }
        assert headers.items() <= response["responseParameters"].items()


@pytest.mark.parametrize(
    "response", ["THROTTLED", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT", "DEFAULT_5XX"]
)
def test_gateway_answers_503_and_when_to_retry_whatever_refuses_a_request(
    response: str, template: dict[str, Any]
) -> None:
    """A throttled function would be a 500. DEFAULT_5XX changes the status of all other 5xx."""
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    answer = body["x-amazon-apigateway-gateway-responses"][response]
    assert answer["statusCode"] == 503
    retry_after = answer["responseParameters"]["gatewayresponse.header.Retry-After"]
    assert 1 <= int(retry_after.strip("'")) <= 5


def test_alarms_and_dashboard_use_metrics_that_are_written(template: dict[str, Any]) -> None:
    written = {name for metrics in METRICS.values() for name in metrics}
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
        *("buffered_age", "waiting_age", "waiting", "integrated", "parked", "quarantined"),
        *("unpartitioned", "held_months"),
        "nothing_delivered",
        *("accepted", "buffered"),
        "credentials_refused",
        "issuer_keys_age",
        *("reconciled", "missing", "unlogged"),
        "canary_age",
    }
    assert watched <= written
    text = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown: list[list[Any]] = []
    for widget in json.loads(text)["widgets"]:
        for metric in widget["properties"]["metrics"]:
            # "..." repeats the last metric but for the end.
            shown.append([*shown[-1][:-1], metric[1]] if metric[0] == "..." else metric)
    assert {name for space, name, *_ in shown if space == namespace} == written
    assert {each[3] for each in shown if each[0] == "AWS/Lambda"} == {
        deployed_name(each) for each in FUNCTIONS
    }
