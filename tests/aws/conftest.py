"""Fixtures: the packaged template, an AWS account in moto, the service under prod's settings."""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from deploy.package import package
from local.dynamodb import server as dynamodb_server
from tests.conftest import SimulatedLegacy
from tests.support.deployed_template import PROD
from tests.support.service import wired
from tests.support.tokens import KEY

REGION = "eu-central-1"
BUCKET = "code"
# The parameters of the template, as ``make deploy`` passes them.
PARAMETERS = {
    "SubnetIds": "subnet-1",
    "SecurityGroupIds": "sg-1",
    "JwksUrl": "https://issuer.example/jwks.json",
    "JwtIssuer": "https://issuer.example",
    "JwtAudience": "punch-clock",
    "Tracing": "PassThrough",
    "WarmIntake": "0",
    "WarmFrom": "cron(45 5,13,21 * * ? *)",
    "WarmUntil": "cron(15 6,14,22 * * ? *)",
    "WarmTimezone": "Etc/UTC",
    "IntakeRevision": "0" * 64,
    "IntakeSnapStart": "None",
    "IntakeDeployment": "AllAtOnce",
    "ProtectTable": "true",
    "WorkingHours": "hour >= 6 && hour < 20 && day <= 5",
    "LongestWait": "7200",
    "QueryRate": "400",
    "DomainName": "",
    "CertificateArn": "",
    "BasePath": "",
    "PublicUrl": "",
    "WafRate": "0",
    "AccessLog": "false",
    "CanaryEmployer": "0",
    "CanaryEmployee": "0",
    "JournalDays": "0",
    "JournalLockDays": "35",
    "JournalLockMode": "GOVERNANCE",
}


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of prod's template; the zip is beside it."""
    return package("prod", tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def template(packaged: Path) -> dict[str, Any]:
    """The packaged template, which ``make deploy`` passes to CloudFormation."""
    document: dict[str, Any] = json.loads(packaged.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="session")
def transformed(template: dict[str, Any]) -> dict[str, Any]:
    """The template after the upload of the code and AWS' own SAM transform."""
    return transform(template, PARAMETERS)


def transform(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """Return the template as CloudFormation gets it with these parameters."""
    uploaded = copy.deepcopy(template)
    for resource in uploaded["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://{BUCKET}/deployment.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        document: dict[str, Any] = Translator({}, Parser()).translate(uploaded, parameters)
    return document


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of moto's server, which imitates the endpoints of AWS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str) -> Iterator[pytest.MonkeyPatch]:
    """An empty AWS account, which every boto3 client of this process connects to."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(variable, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", moto_url)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield patch
        _reset(moto_url)


def _reset(url: str) -> None:
    requests.post(f"{url}/moto-api/reset", timeout=30).raise_for_status()


@pytest.fixture
def prod(
    aws: pytest.MonkeyPatch,
    dynamodb_url: str,
    dynamodb: Any,
    database_url: str,
    legacy: SimulatedLegacy,
) -> Iterator[dict[str, str]]:
    """The environment variables of prod; the service runs with them.

    The secrets are in the account's parameter store and lead to the stores of the test. The tables
    are on the DynamoDB endpoint. Only the key of the tokens is the test's own.
    """
    environment = dict(PROD["environment_variables"])
    secrets = {
        "DATABASE_URL": database_url,
        "ODATA_DATABASE_URL": database_url,
        "LEGACY_URL": legacy.url,
    }
    ssm = boto3.client("ssm")
    for variable, value in secrets.items():
        service, _, name = environment[variable].partition(":")
        assert service == "ssm"
        ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    aws.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url)
    table = environment["POINT_RECORD_TABLE"]
    dynamodb_server.create_table(dynamodb, table)
    # Every test may use this one: an issuer has its own URL.
    dynamodb_server.create_table(dynamodb, environment["JWKS_TABLE"], key="url")
    overrides = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"], "JWT_KEY": KEY}
    with wired({**environment, **overrides}):
        yield environment
    dynamodb.delete_table(TableName=table)
    # The next test creates a table of the same name.
    dynamodb.get_waiter("table_not_exists").wait(
        TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
