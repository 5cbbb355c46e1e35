"""A function whose secret is not there says so, to its operators, and goes on once it is."""

import json

import boto3
import pytest

import app
from chalicelib.errors import MisconfiguredError
from tests.aws.test_policies import ask, request
from tests.support.lambda_events import context, schedule_event
from tests.support.service import punch


def test_without_its_secret_a_query_is_refused_and_a_punch_is_taken(
    prod: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ssm = boto3.client("ssm")
    name = prod["DATABASE_URL"].removeprefix("ssm:")
    value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    ssm.delete_parameter(Name=name)
    answer = ask(app.app, request("GET", "/health"), 503)
    assert json.loads(answer["body"])["error"] == {
        "code": "Misconfigured",
        "message": "DATABASE_URL refers to what cannot be read.",
    }
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert line["level"] == "ERROR"
    assert f"{prod['DATABASE_URL']}, which cannot be read: ParameterNotFound" in line["cause"]
    with pytest.raises(MisconfiguredError):  # an error of the function: its alarm rings
        app.replicate(schedule_event(), context())
    ask(app.intake, request("POST", "/point-record", punch(1)), 201)

    ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    ask(app.app, request("GET", "/health"), 200)
    assert app.replicate(schedule_event(), context()) is None
