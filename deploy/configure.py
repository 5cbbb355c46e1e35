"""Write a stage of ``chalice deploy`` into ``.chalice/config.json``, with its policies.

A stage is a copy of ``prod`` under its own name, with what only the deployer knows: the issuer of
tokens, the network, and the legacy. What the merge template says about functions goes into it, too,
since ``chalice deploy`` does not read that template. Secrets stay references to parameters.

Chalice's function of the routes serves every route, ``POST /point-record`` too. So it gets the
concurrency that punches need.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chalicelib.settings import Settings, SettingsError, is_reference
from deploy import runtime
from deploy.merge_template import ParameterError, logical_name, parameter, read, resolved
from deploy.package import (
    PROJECT,
    StageError,
    check_environment,
    model_configuration,
    rename_stage,
)
from deploy.runtime import ARCHITECTURE

# Environments of the function of the routes, at most. An account has 1,000 by default, and 100 of
# them cannot be reserved.
CONCURRENCY = 400

# Parameters without a default, in the order in which they are asked for.
ASKED = ("JwksUrl", "JwtIssuer", "JwtAudience", "SubnetIds", "SecurityGroupIds")
# Settings that are secrets, or may have one in them.
_SECRETS = {
    *("JWT_KEY", "LEGACY_PASSWORD", "LEGACY_TOKEN", "LEGACY_AUTH_HEADERS", "LEGACY_PROXY"),
    *("LEGACY_CLIENT_SECRET", "LEGACY_CLIENT_CERTIFICATE"),
}
_IDS = {"SubnetIds": r"subnet-[0-9a-f]+", "SecurityGroupIds": r"sg-[0-9a-f]+"}


def configure(
    stage: str,
    parameters: Mapping[str, str],
    settings: Mapping[str, str] | None = None,
    *,
    concurrency: int = CONCURRENCY,
    architecture: str = ARCHITECTURE,
    project: Path = PROJECT,
) -> None:
    """Write a stage, and replace it if it is there.

    Args:
        stage: its name, which becomes a part of the name of each resource in AWS.
        parameters: values of parameters of the merge template; those in ``ASKED`` have no default.
        settings: further settings of all functions, such as ``LEGACY_AUTH``.
        concurrency: what to reserve for the function of the routes; 0 reserves nothing for any.
        architecture: the processor of the functions.
        project: the directory of the project.

    Raises:
        StageError: the name is not valid, or taken; or the settings of a function are too long.
        ParameterError: a parameter is missing or not valid.
        SettingsError: a setting does not exist, or has a secret in it.
    """
    if stage in ("prod", "dev"):
        raise StageError(f"{stage!r} is the model of other stages. Choose another name.")
    template = read(stage)
    check_parameters(template, parameters)
    configuration = model_configuration(stage)
    variables = configuration["environment_variables"]
    if fixed := (settings or {}).keys() & (variables.keys() - {"LEGACY_URL"}):
        raise SettingsError(f"{min(fixed)} follows from the stage, and cannot be set.")
    variables |= settings or {}
    configuration |= {"api_gateway_stage": stage, "lambda_architecture": architecture}
    configuration["xray"] = parameter("Tracing", template, parameters) == "Active"
    configuration["tags"] = {"application": "punch-clock", "stage": stage}
    for name, function in configuration["lambda_functions"].items():
        properties = template["Resources"][logical_name(name)]["Properties"]
        stated = {key: properties[key] for key in ("VpcConfig", "Environment") if key in properties}
        values = resolved(stated, template, parameters)
        if network := values.get("VpcConfig"):
            function["subnet_ids"] = network["SubnetIds"]
            function["security_group_ids"] = network["SecurityGroupIds"]
        own = values.get("Environment", {}).get("Variables", {})
        if own:
            function["environment_variables"] = own
        _check_settings({**variables, **own}, settings or {}, stage)
        check_environment(name, {**variables, **own})
        if concurrency == 0:
            del function["reserved_concurrency"]
    if concurrency:
        configuration["lambda_functions"]["api_handler"]["reserved_concurrency"] = concurrency
        configuration["lambda_functions"]["intake"]["reserved_concurrency"] = 1
    _write(stage, configuration, project / ".chalice")


def check_parameters(template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
    """Raise ``ParameterError`` if a parameter does not exist, is missing, or is not allowed."""
    for name in parameters.keys() - template["Parameters"].keys():
        known = ", ".join(sorted(template["Parameters"]))
        raise ParameterError(f"There is no parameter {name}. There are {known}.")
    for name, declared in template["Parameters"].items():
        if name not in parameters and name not in ASKED:
            continue
        value = parameter(name, template, parameters)
        fits = bool(re.fullmatch(declared.get("AllowedPattern", r"(?s).*"), value))
        fits = fits and value in declared.get("AllowedValues", [value])
        fits = fits and len(value) >= declared.get("MinLength", 0)
        if name in _IDS:
            fits = all(re.fullmatch(_IDS[name], each.strip()) for each in value.split(","))
        if not fits:
            raise ParameterError(f"{name} cannot be {value!r}: {declared['Description']}")


def _check_settings(variables: dict[str, str], chosen: Mapping[str, str], stage: str) -> None:
    """Raise ``SettingsError`` if a setting is not valid, or has a secret in clear."""
    Settings.from_env(variables)
    known = {name.upper() for name in Settings.__dataclass_fields__}
    reference = f"ssm:/punch-clock/{stage}/legacy-"
    for name, value in chosen.items():
        if name not in known:
            raise SettingsError(f"There is no setting {name}: docs/settings.md.")
        if name in _SECRETS and not is_reference(value):
            raise SettingsError(
                f"{name} must be a reference, since the configuration is no place for a secret: "
                f"{reference}{name.lower().removeprefix('legacy_').replace('_', '-')}"
            )
        if is_reference(value) and not value.startswith(reference):
            raise SettingsError(
                f"{name} must begin with {reference}, which the policies of the functions allow."
            )


def write_policies(stage: str, chalice: Path) -> None:
    """Write the policies of the functions of a stage into a directory of Chalice."""
    for path in (PROJECT / ".chalice").glob("policy-prod-*.json"):
        text = rename_stage(stage, path.read_text(encoding="utf-8"))
        (chalice / rename_stage(stage, path.name)).write_text(text, encoding="utf-8")


def check_complete(stage: str, configuration: Mapping[str, Any]) -> None:
    """Raise ``StageError`` if a stage was configured for an older version of the project."""
    model = model_configuration(stage)
    for part in ("lambda_functions", "environment_variables"):
        if missing := model[part].keys() - configuration[part].keys():
            raise StageError(
                f"The stage {stage} has no {min(missing)}, which is newer: configure it again."
            )


def _write(stage: str, configuration: dict[str, Any], chalice: Path) -> None:
    """Write the stage, and its policies if this interpreter may deploy it.

    Chalice deploys the runtime of its own interpreter. Without the policies it refuses to deploy.
    """
    for path in chalice.glob(f"policy-{stage}-*.json"):
        path.unlink()
    if runtime.RUNNING == runtime.RUNTIME:
        write_policies(stage, chalice)
    path = chalice / "config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["stages"][stage] = configuration
    temporary = path.with_suffix(".new")
    temporary.write_text(
        json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    temporary.replace(path)
