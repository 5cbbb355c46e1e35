"""A function whose secret is missing reports it, and works once the secret exists."""

import json

import boto3
import pytest

import app
from chalicelib.errors import MisconfiguredError
from tests.aws.test_policies import invoke, request
from tests.support.lambda_events import context, schedule_event
from tests.support.service import punch


def test_missing_database_secret_fails_queries_but_not_intake(
    prod: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ssm = boto3.client("ssm")
    name = prod["DATABASE_URL"].removeprefix("ssm:")
    value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    ssm.delete_parameter(Name=name)
    response = invoke(app.app, request("GET", "/health"), 503)
    assert json.loads(response["body"])["error"] == {
        "code": "Misconfigured",
        "message": "DATABASE_URL refers to a secret or file that cannot be read.",
    }
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert line["level"] == "ERROR"
    assert f"{prod['DATABASE_URL']}, which cannot be read: ParameterNotFound" in line["cause"]
    with pytest.raises(MisconfiguredError):  # counts as an error of the function: its alarm fires
        app.replicate(schedule_event(), context())
    invoke(app.intake, request("POST", "/point-record", punch(1)), 201)

    ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    invoke(app.app, request("GET", "/health"), 200)
    assert app.replicate(schedule_event(), context()) is None
