"""``python -m deploy configure`` writes a stage that is complete, and refuses what cannot work."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from chalice.config import Config

from chalicelib.settings import Settings, SettingsError
from deploy import __main__ as command
from deploy import runtime
from deploy.configure import ASKED, check_complete, configure
from deploy.merge_template import ParameterError, read, resolved
from deploy.package import PROJECT, StageError
from deploy.runtime import RUNTIME
from tests.support.deployed_template import FUNCTIONS, OPERATORS, ROUTES

PARAMETERS = {
    "JwksUrl": "https://issuer.example/jwks.json",
    "JwtIssuer": "https://issuer.example",
    "JwtAudience": "punch-clock",
    "SubnetIds": "subnet-1a, subnet-2b",
    "SecurityGroupIds": "sg-1",
}
OAUTH = {
    "LEGACY_AUTH": "oauth2",
    "LEGACY_TOKEN_URL": "https://issuer.example/token",
    "LEGACY_CLIENT_ID": "punch-clock",
    "LEGACY_CLIENT_SECRET": "ssm:/punch-clock/plant7/legacy-credentials#secret",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the configuration of this project."""
    ignored = shutil.ignore_patterns("deployed", "deployments")
    shutil.copytree(PROJECT / ".chalice", tmp_path / ".chalice", ignore=ignored)
    return tmp_path


def stages(project: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((project / ".chalice" / "config.json").read_text())
    return document["stages"]


def test_stage_has_the_settings_network_and_policy_of_each_function(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "RUNNING", RUNTIME)
    configure("plant7", PARAMETERS, OAUTH, project=project)
    stage = stages(project)["plant7"]
    assert stage["environment_variables"]["POINT_RECORD_TABLE"] == "punch-clock-plant7-point-record"
    assert stage["environment_variables"].items() >= OAUTH.items()
    assert set(stage["lambda_functions"]) == set(FUNCTIONS)
    for name, function in stage["lambda_functions"].items():
        authenticates = name in {ROUTES, "intake"} | OPERATORS
        own = function.get("environment_variables", {})
        assert (own.get("JWT_ISSUER") == PARAMETERS["JwtIssuer"]) == authenticates
        knows_the_issuer = authenticates or name == "store-keys"
        assert (own.get("JWKS_URL") == PARAMETERS["JwksUrl"]) == knows_the_issuer
        Settings.from_env({**stage["environment_variables"], **own})
        if name == "intake":
            assert "subnet_ids" not in function
        else:
            assert function["subnet_ids"] == ["subnet-1a", "subnet-2b"]
            assert function["security_group_ids"] == ["sg-1"]
        policy = (project / ".chalice" / function["iam_policy_file"]).read_text()
        assert "prod" not in policy
        assert f"/aws/lambda/punch-clock-plant7{'' if name == ROUTES else f'-{name}'}:*" in policy


def test_setting_without_an_option_reaches_each_function(project: Path) -> None:
    settings = {
        "JWT_ROLE_CLAIM": "cognito:groups",
        "JWT_AUTHORIZATION_URI": "https://login.example/authorize",
        "CONSOLE_CLIENT_ID": "punch-clock-console",
    }
    configure("plant7", PARAMETERS, settings, project=project)
    document = json.loads((project / ".chalice" / "config.json").read_text())
    for name in FUNCTIONS:  # the routes answer 401
        function = Config("plant7", name, config_from_disk=document)
        assert function.environment_variables.items() >= settings.items()
    routes = Config("plant7", ROUTES, config_from_disk=document).environment_variables
    assert routes["JWT_ISSUER"] == PARAMETERS["JwtIssuer"]


def test_another_python_gets_no_policies_so_that_chalice_refuses_to_deploy(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "RUNNING", RUNTIME)
    configure("plant7", PARAMETERS, project=project)
    monkeypatch.setattr(runtime, "RUNNING", "python3.9")
    configure("plant7", PARAMETERS, project=project)
    assert not list((project / ".chalice").glob("policy-plant7-*"))
    assert list((project / ".chalice").glob("policy-prod-*"))


def test_stage_of_an_older_version_must_be_configured_again(project: Path) -> None:
    configure("plant7", PARAMETERS, project=project)
    stage = stages(project)["plant7"]
    check_complete("plant7", stage)
    for part, name in [("lambda_functions", "observe"), ("environment_variables", "ACCEPTED_LOG")]:
        older = {**stage, part: {key: each for key, each in stage[part].items() if key != name}}
        with pytest.raises(StageError, match=f"no {name}, which is newer: configure it again"):
            check_complete("plant7", older)


def test_stage_is_replaced_and_no_other_changes(project: Path) -> None:
    before = stages(project)
    configure("plant7", PARAMETERS, OAUTH, project=project)
    configure("plant7", {**PARAMETERS, "Tracing": "Active"}, project=project)
    after = stages(project)
    assert after["plant7"]["xray"] is True
    assert "LEGACY_AUTH" not in after["plant7"]["environment_variables"]
    del after["plant7"]
    assert after == before


def test_routes_get_the_concurrency_of_punches(project: Path) -> None:
    configure("plant7", PARAMETERS, concurrency=800, project=project)
    functions = stages(project)["plant7"]["lambda_functions"]
    assert functions[ROUTES]["reserved_concurrency"] == 800
    assert functions["intake"]["reserved_concurrency"] == 1
    configure("plant7", PARAMETERS, concurrency=0, project=project)
    functions = stages(project)["plant7"]["lambda_functions"]
    assert not any("reserved_concurrency" in each for each in functions.values())


def test_settings_longer_than_lambda_takes_are_refused(project: Path) -> None:
    before = stages(project)
    fits = {"LEGACY_BODY": "x" * 3_000}
    with pytest.raises(StageError, match=r"4,096.*LEGACY_BODY.*ssm:") as refused:
        configure("plant7", PARAMETERS, {"LEGACY_BODY": "é" * 1_900}, project=project)
    assert "é" not in str(refused.value)
    assert stages(project) == before
    configure("plant7", PARAMETERS, fits, project=project)


@pytest.mark.parametrize("name", ASKED)
def test_missing_parameter_is_named(name: str, project: Path) -> None:
    rest = {each: value for each, value in PARAMETERS.items() if each != name}
    with pytest.raises(ParameterError, match=f"Set {name}: "):
        configure("plant7", rest, project=project)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JwksUrl", "http://issuer.example/jwks.json"),
        ("JwtIssuer", ""),
        ("SubnetIds", "subnet-1,"),
        ("SubnetIds", "vpc-1"),
        ("SecurityGroupIds", "default"),
        ("Tracing", "yes"),
        ("NoSuchParameter", "1"),
    ],
)
def test_parameter_that_cannot_work_is_refused(name: str, value: str, project: Path) -> None:
    before = stages(project)
    with pytest.raises(ParameterError, match=name):
        configure("plant7", {**PARAMETERS, name: value}, project=project)
    assert stages(project) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**OAUTH, "LEGACY_CLIENT_SECRET": "hush"}, "ssm:/punch-clock/plant7/legacy-client-secret"),
        ({"LEGACY_URL": "ssm:/punch-clock/prod/legacy-url"}, "must begin with ssm:"),
        ({"JWT_KEY": "ssm:/punch-clock/plant7/jwt-key"}, "must begin with ssm:"),
        ({"DATABASE_URL": "postgresql://x"}, "follows from the stage"),
        ({"LEGACY_AUTH": "basic"}, "needs LEGACY_USER"),
        ({"LEGACY_WORKERS": "5"}, "no setting LEGACY_WORKERS"),
        ({"MAX_ATTEMPTS": "0"}, "MAX_ATTEMPTS must be between"),
    ],
)
def test_setting_that_cannot_work_is_refused(
    settings: dict[str, str], message: str, project: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        configure("plant7", PARAMETERS, settings, project=project)
    assert "plant7" not in stages(project)


@pytest.mark.parametrize("name", ["prod", "dev", "Plant 7"])
def test_stage_needs_a_name_of_its_own(name: str, project: Path) -> None:
    with pytest.raises(StageError):
        configure(name, PARAMETERS, project=project)


def test_conditions_of_the_template_are_decided() -> None:
    template = {
        "Parameters": {"Url": {"Type": "String", "Default": "", "Description": "…"}},
        "Conditions": {
            "HasNone": {"Fn::Equals": [{"Ref": "Url"}, ""]},
            "HasOne": {"Fn::Not": [{"Condition": "HasNone"}]},
            "Both": {"Fn::And": [{"Condition": "HasNone"}, {"Condition": "HasOne"}]},
            "Any": {"Fn::Or": [{"Condition": "HasNone"}, {"Condition": "HasOne"}]},
        },
    }
    value = {"URL": {"Fn::If": ["HasOne", {"Ref": "Url"}, {"Ref": "AWS::NoValue"}]}}
    assert resolved(value, template, {}) == {}
    assert resolved(value, template, {"Url": "https://a.example"}) == {"URL": "https://a.example"}
    assert resolved({"Fn::If": ["Both", 1, 2]}, template, {}) == 2
    assert resolved({"Fn::If": ["Any", 1, 2]}, template, {}) == 1
    with pytest.raises(ParameterError, match="outside of CloudFormation"):
        resolved({"Fn::GetAtt": ["Failures", "Arn"]}, template, {})


def test_command_names_the_option_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deploy", "configure", "--stage", "plant7"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert command.main() == 1
    described = read("plant7")["Parameters"]["JwksUrl"]["Description"]
    assert capsys.readouterr().err == f"Set --jwks-url: {described}\n"


def test_chalice_is_not_run_for_a_stage_that_nobody_configured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deploy", "chalice", "nobody", "deploy"])
    assert command.main() == 1
    assert "python -m deploy configure --stage nobody" in capsys.readouterr().err
