"""Chalice's other packagings synthesise: the template without a merge, for CDK, and Terraform.

CDK itself is not run here: aws-cdk-lib unpacks to 438 MB. docs/deployment.md says what was tried.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from chalice.package import TemplateDeepMerger

from chalicelib.settings import Settings
from deploy import companion
from deploy.package import chalice_environment, copy_source
from tests.aws.test_template import lint, logical_name
from tests.support.deployed_template import FUNCTIONS, PROD, SCHEDULES, deployed_name

# Settings without an argument of ``make deploy``: docs/deployment.md.
SETTINGS = {
    "JWT_ROLE_CLAIM": "cognito:groups",
    "JWT_AUTHORIZATION_URI": "https://login.example/authorize",
    "CONSOLE_CLIENT_ID": "punch-clock-console",
}


def set_for_all(source: Path, settings: dict[str, str]) -> None:
    """Set settings for all functions of a copy of the project."""
    path = source / ".chalice" / "config.json"
    configuration = json.loads(path.read_text())
    configuration["stages"]["prod"]["environment_variables"] |= settings
    path.write_text(json.dumps(configuration))


def package(source: Path, out: Path, *options: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "chalice", "package", "--stage", "prod", *options, out],
        cwd=source,
        env=chalice_environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_chalice_packages_for_cdk_and_terraform(tmp_path: Path) -> None:
    source = tmp_path / "source"
    copy_source("prod", source)
    set_for_all(source, SETTINGS)
    (source / "requirements.txt").write_text("")  # the libraries are not what is tested

    package(source, tmp_path / "sam")
    template = tmp_path / "sam" / "sam.json"
    resources: dict[str, Any] = json.loads(template.read_text())["Resources"]
    assert {logical_name(each) for each in FUNCTIONS} <= set(resources)
    # As ``make deploy`` merges them.
    own = json.loads((source / ".chalice" / "resources.json").read_text())["Resources"]
    for function in map(logical_name, FUNCTIONS):
        merged = TemplateDeepMerger().merge(own[function], resources[function])
        variables = merged["Properties"]["Environment"]["Variables"]
        assert variables.items() >= {**PROD["environment_variables"], **SETTINGS}.items()
        texts = {name: each for name, each in variables.items() if isinstance(each, str)}
        if "JWT_ISSUER" in variables:
            texts["JWT_ISSUER"] = "https://issuer.example"
        assert Settings.from_env(texts).jwt_role_claim == SETTINGS["JWT_ROLE_CLAIM"]
    for function in ("APIHandler", "Intake"):  # they answer 401
        assert own[function]["Properties"]["Environment"]["Variables"]["JWT_ISSUER"]
    beside = tmp_path / "companion.json"
    companion.write("prod", beside)
    assert lint(template, beside) == ""

    package(source, tmp_path / "terraform", "--pkg-format", "terraform")
    document = json.loads((tmp_path / "terraform" / "chalice.tf.json").read_text())["resource"]
    functions = {each["function_name"]: each for each in document["aws_lambda_function"].values()}
    assert set(functions) == {deployed_name(each) for each in FUNCTIONS}
    for function in functions.values():
        stated = function["environment"]["variables"]
        assert stated.items() >= PROD["environment_variables"].items()
    rules = document["aws_cloudwatch_event_rule"].values()
    assert len(rules) == len(SCHEDULES)
    # Chalice would name the log group of the routes wrongly: the stack beside it has them all.
    assert "aws_cloudwatch_log_group" not in document
