"""``chalice deploy`` without the merged template, against moto: functions, roles, rules, the API.

It creates neither the table nor the alarms, and one function serves every route. Deployments use
``make deploy`` (docs/operations.md).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from deploy.package import chalice_environment, copy_source
from tests.aws.test_stack import served_by
from tests.support.deployed_template import (
    FUNCTIONS,
    PROD,
    ROUTES,
    SCHEDULES,
    deployed_name,
    statements,
)
from tests.support.moto_patches import rest_apis_from_swagger


def test_chalice_deploy_creates_functions_with_their_policies_and_schedules(
    aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy_source("prod", tmp_path / "source")
    chalice = Path(sys.executable).parent / "chalice"
    with rest_apis_from_swagger():
        done = subprocess.run(
            [chalice, "deploy", "--stage", "prod"],
            cwd=tmp_path / "source",
            env={**chalice_environment(), "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]},
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    functions = boto3.client("lambda")
    for function in FUNCTIONS:
        configuration = functions.get_function_configuration(FunctionName=deployed_name(function))
        assert (
            configuration["MemorySize"] == PROD["lambda_functions"][function]["lambda_memory_size"]
        )
        role = configuration["Role"].rpartition("/")[2]
        iam = boto3.client("iam")
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        assert document["Statement"] == statements(function)
    rules = boto3.client("events").list_rules()["Rules"]
    assert {each["Name"] for each in rules} == {
        f"{deployed_name(each)}-event" for each in SCHEDULES
    }
    resources = json.loads(
        (tmp_path / "source" / ".chalice" / "deployed" / "prod.json").read_text()
    )["resources"]
    (api,) = [each["rest_api_id"] for each in resources if each["resource_type"] == "rest_api"]
    assert served_by(api, "/point-record", "POST") == deployed_name(ROUTES)
