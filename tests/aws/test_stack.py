"""moto's CloudFormation creates the stack from the transformed template."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws.conftest import BUCKET, PARAMETERS, REGION
from tests.support.deployed_template import (
    FUNCTIONS,
    OPERATORS,
    PROD,
    ROUTES,
    SCHEDULES,
    deployed_name,
)
from tests.support.moto_patches import (
    UNKNOWN_TO_MOTO,
    numbered_versions,
    rest_apis_from_swagger,
)


def test_cloudformation_creates_functions_rules_table_and_routes(
    aws: pytest.MonkeyPatch, packaged: Path, transformed: dict[str, Any]
) -> None:
    kinds = {each["Type"] for each in transformed["Resources"].values()}
    assert kinds >= UNKNOWN_TO_MOTO
    supported = {
        name: each
        for name, each in transformed["Resources"].items()
        if each["Type"] not in UNKNOWN_TO_MOTO
    }
    # moto evaluates an output whose condition is false.
    shown = {name: each for name, each in transformed["Outputs"].items() if "Condition" not in each}
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.upload_file(str(packaged.with_name("deployment.zip")), BUCKET, "deployment.zip")
    parameters = {**PARAMETERS, "SubnetIds": any_subnet(), "SecurityGroupIds": any_security_group()}
    stacks = boto3.client("cloudformation")
    with rest_apis_from_swagger(), numbered_versions():
        stacks.create_stack(
            StackName="punch-clock-prod",
            TemplateBody=json.dumps({**transformed, "Resources": supported, "Outputs": shown}),
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
    (stack,) = stacks.describe_stacks()["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    for function in FUNCTIONS:
        actual = boto3.client("lambda").get_function_configuration(
            FunctionName=deployed_name(function)
        )
        configured = PROD["lambda_functions"][function]
        assert actual["MemorySize"] == configured["lambda_memory_size"]
        assert actual["Timeout"] == configured["lambda_timeout"]
        variables = actual["Environment"]["Variables"]
        assert variables.items() >= PROD["environment_variables"].items()
        # Only functions that authenticate a caller need the JWKS, and the one that stores it.
        authenticates = function in {ROUTES, "intake"} | OPERATORS
        assert variables.get("JWT_ISSUER") == (PARAMETERS["JwtIssuer"] if authenticates else None)
        assert variables.get("JWKS_URL") == (
            PARAMETERS["JwksUrl"] if authenticates or function == "store-keys" else None
        )
    rules = boto3.client("events").list_rules()["Rules"]
    helpers = [rule for rule in rules if "ReplicateHelp" in rule["Name"]]
    assert len(rules) - len(helpers) == len(SCHEDULES)
    assert len(helpers) == 3
    for variable, key in [("POINT_RECORD_TABLE", "id"), ("JWKS_TABLE", "url")]:
        table = boto3.client("dynamodb").describe_table(
            TableName=PROD["environment_variables"][variable]
        )["Table"]
        assert table["KeySchema"] == [{"AttributeName": key, "KeyType": "HASH"}]
    for method in ("POST", "OPTIONS"):
        served = served_by(outputs["RestAPIId"], "/point-record", method)
        assert served == f"{deployed_name('intake')}:live"
    alias = boto3.client("lambda").get_alias(FunctionName=deployed_name("intake"), Name="live")
    assert alias["FunctionVersion"] == "1"
    for path, method in [("/odata/{resource}", "GET"), ("/odata", "GET"), ("/health", "GET")]:
        assert served_by(outputs["RestAPIId"], path, method) == deployed_name(ROUTES)


def any_subnet() -> str:
    subnet: str = boto3.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    return subnet


def any_security_group() -> str:
    group: str = boto3.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    return group


def served_by(api: str, path: str, method: str) -> str:
    """Return the name of the function that serves a route of an API, with its alias if any."""
    gateway = boto3.client("apigateway")
    (resource,) = [
        each["id"]
        for each in gateway.get_resources(restApiId=api, limit=500)["items"]
        if each["path"] == path
    ]
    integration = gateway.get_integration(restApiId=api, resourceId=resource, httpMethod=method)
    uri: str = integration["uri"]
    return uri.removesuffix("/invocations").partition(":function:")[2]
