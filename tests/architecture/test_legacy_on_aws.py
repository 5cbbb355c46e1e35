"""The profile that docs/legacy-settings.md moves to AWS describes the same requests there.

The commands of the document run with a program ``aws`` that records them; the lines of
``.chalice/config.json`` are read as a function reads its environment.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from chalicelib import secret_references
from chalicelib.integrator.legacy.authentication import credentials
from chalicelib.integrator.legacy.messages import request_format, response_conditions
from chalicelib.integrator.legacy.messages.record_values import sample_record
from chalicelib.settings import Settings, is_reference
from deploy import configure
from deploy.package import check_environment, rename_stage
from local.child_process import PROJECT
from local.legacy_profile import read_profile
from tests.legacies.recipes import PROFILES
from tests.support.aws_cli import Cli
from tests.support.deployed_template import PROD, statements

TEXT = (PROJECT / "docs/legacy-settings.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## A profile on AWS\n")[2].partition("\n## ")[0]
COMMANDS, LINES = re.findall(r"^```\w+\n(.+?)^```$", SECTION, re.MULTILINE | re.DOTALL)
VARIABLES: dict[str, str] = json.loads(f"{{{LINES}}}")
SECRET = "s3cret & long"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """The profile of the document, on one machine."""
    (tmp_path / "client-secret").write_text(f"{SECRET}\n")
    path = tmp_path / "hr.env"
    path.write_text(PROFILES["xml-oauth2"], encoding="utf-8")
    return path


@pytest.fixture
def parameters(profile: Path, tmp_path: Path) -> dict[str, str]:
    """The parameters that the commands put, by their names."""
    (tmp_path / "punch.xml").write_text(read_profile(profile)["LEGACY_BODY"] + "\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    cli = Cli(programs)
    cli.answer({"ssm put-parameter": {"Version": 1}})
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(
        ["sh", "-euc", COMMANDS], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    put: dict[str, str] = {}
    for call in map(shlex.split, cli.calls):
        assert call[:4] == ["ssm", "put-parameter", "--type", "SecureString"]
        options = dict(zip(call[4::2], call[5::2], strict=False))
        value = options["--value"]
        if value.startswith("file://"):
            value = (tmp_path / value.removeprefix("file://")).read_text(encoding="utf-8")
        put[options["--name"]] = value
    return put


class ParameterStore:
    """Answers as SSM does, from a dictionary."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:  # noqa: N803
        assert WithDecryption
        return {"Parameter": {"Value": self._parameters[Name]}}


def on_aws(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the legacy that a function has, behind their references."""
    environment = {**PROD["environment_variables"], **VARIABLES}
    Settings.from_env(environment)
    store = ParameterStore(parameters)
    return {
        name: secret_references.read(name, value, lambda _: store)
        for name, value in environment.items()
        if name.startswith("LEGACY_")
    }


def on_one_machine(profile: Path) -> dict[str, str]:
    return {
        name: secret_references.read(name, value, lambda _: None)
        for name, value in read_profile(profile).items()
    }


def rendered(values: Mapping[str, str]) -> tuple[Any, ...]:
    """Return the request for a sample record, and what judges its response."""
    settings = Settings.from_env(values)
    form = request_format.read(settings, lambda name: values[name.upper()])
    response_conditions.read(lambda name: values.get(name.upper(), ""))
    names = settings.legacy_credentials
    login = credentials.parse(settings, {name: values[name.upper()] for name in names})
    return form.render(sample_record(form.encoding)), form.headers, login.token_client


def test_commands_and_lines_of_the_document_give_the_profile(
    profile: Path, parameters: dict[str, str]
) -> None:
    local, deployed = on_one_machine(profile), on_aws(parameters)
    defaults = {name: value for name, value in local.items() if name not in deployed}
    assert {**defaults, **deployed} == local
    assert set(defaults).isdisjoint(re.findall(r"^(\w+)=", PROFILES["xml-oauth2"], re.MULTILINE))
    assert rendered({**defaults, **deployed}) == rendered(local)
    assert b"<employee>" in rendered(local)[0][1]


def test_parameters_of_the_document_are_those_that_the_functions_may_read(
    parameters: dict[str, str],
) -> None:
    values = {**PROD["environment_variables"], **VARIABLES}.items()
    references = {
        value.removeprefix("ssm:").partition("#")[0]
        for name, value in values
        if name.startswith("LEGACY_") and is_reference(value)
    }
    assert set(parameters) == references
    for function in ("integrate", "legacy-check"):
        (allowed,) = [each for each in statements(function) if "ssm:GetParameter" in each["Action"]]
        for name in parameters:
            arn = f"arn:aws:ssm:eu-central-1:123456789012:parameter{name}"
            assert any(fnmatchcase(arn, of) for of in allowed["Resource"]), (function, name)


def test_parameter_store_takes_the_values_of_the_document(parameters: dict[str, str]) -> None:
    """It refuses values with double braces, and of more than 4 KB unless they are advanced.

    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    """
    for value in parameters.values():
        assert "{{" not in value
        assert "}}" not in value
        assert 0 < len(value.encode()) <= 4_096


def test_settings_of_the_document_fit_a_function_and_a_stage_of_chalice(tmp_path: Path) -> None:
    check_environment("integrate", {**PROD["environment_variables"], **VARIABLES})
    shutil.copytree(PROJECT / ".chalice", tmp_path / ".chalice")
    parameters = {
        "JwksUrl": "https://issuer.example/jwks.json",
        "JwtIssuer": "https://issuer.example",
        "JwtAudience": "punch-clock",
        "SubnetIds": "subnet-1a",
        "SecurityGroupIds": "sg-1",
    }
    settings = {name: rename_stage("plant7", value) for name, value in VARIABLES.items()}
    configure.configure("plant7", parameters, settings, project=tmp_path)


def test_document_names_the_settings_that_must_not_be_in_the_configuration() -> None:
    (row,) = re.findall(r"^\| each secret: (.+?) \|", SECTION, re.MULTILINE)
    secrets = {each for each in configure._SECRETS if each.startswith("LEGACY_")}
    assert set(re.findall(r"`(\w+)`", row)) == secrets
