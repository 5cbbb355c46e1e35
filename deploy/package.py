"""Package a stage for CloudFormation: a SAM template, and a zip of the code.

``chalice package`` writes both. Each stage is the stage ``prod`` of ``.chalice`` under another
name; ``dev`` in ``.chalice/config.json`` has the throwaway settings of ``make run`` and is never
deployed. Invariant: the same commit and runtime give the same zip, byte for byte, if the same
Python makes the bytecode. Only the files that are deployed are copied, so that no leftover gets in.

Chalice takes the runtime and the dependencies from the interpreter that runs it. Here ``RUNTIME``
and ``ARCHITECTURE`` decide: their wheels are unpacked into ``vendor/``, which Chalice copies into
the zip as it is (https://aws.github.io/chalice/topics/packaging.html), and the template is
rewritten.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import wheels
from deploy.runtime import ARCHITECTURE, RUNTIME, interpreter

PROJECT = Path(__file__).resolve().parents[1]
# The wheels of requirements.txt, which ``make`` downloads: with them packaging needs no registry.
WHEELS = Path(sys.prefix) / "wheels"

MAX_ENVIRONMENT_BYTES = 4_096
# For what the merge template adds: addresses of the issuer and of the service, the journal, the
# canary.
_RESERVED_BYTES = 800

# The stage that the others are copied from.
_MODEL = "prod"


class StageError(Exception):
    """A stage cannot have this name. The message is for operators."""


def stage_configuration(stage: str, project: Path = PROJECT) -> dict[str, Any]:
    """Return the configuration of a stage: its own, or that of ``prod`` under its name.

    Raises:
        StageError: the name is not valid for a stage.
    """
    check_stage(stage)
    text = (project / ".chalice" / "config.json").read_text(encoding="utf-8")
    own: dict[str, Any] | None = json.loads(text)["stages"].get(stage)
    return model_configuration(stage) if own is None or stage == "dev" else own


def model_configuration(stage: str) -> dict[str, Any]:
    """Return the configuration of ``prod`` under the name of a stage."""
    check_stage(stage)
    text = (PROJECT / ".chalice" / "config.json").read_text(encoding="utf-8")
    configuration: dict[str, Any] = json.loads(rename_stage(stage, text))["stages"][_MODEL]
    return configuration


def check_stage(stage: str) -> None:
    """Raise ``StageError`` if a name is not valid for a stage.

    The longest name that has it is that of the journal's bucket, with the account and the region.
    It may have 63 characters.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]{1,14}", stage):
        raise StageError(
            f"{stage!r} is not a stage name. Use 2 to 15 lowercase letters and digits, "
            "starting with a letter."
        )


def check_environment(function: str, variables: Mapping[str, str], reserved: int = 0) -> None:
    """Raise ``StageError`` if a function's environment variables are longer than Lambda takes.

    Args:
        function: the name of the function.
        variables: its variables, which Lambda measures as a JSON object:
            https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
        reserved: bytes for variables whose values are known at the deployment only.
    """
    size = len(json.dumps(variables, ensure_ascii=False, separators=(",", ":")).encode())
    if size + reserved > MAX_ENVIRONMENT_BYTES:
        longest = max(variables, key=lambda name: len(variables[name]))
        raise StageError(
            f"The settings of the function {function} take {size:,} bytes, and Lambda takes"
            f" {MAX_ENVIRONMENT_BYTES - reserved:,}. Put a long one, such as {longest}, into a"
            " parameter, and refer to it: ssm:/punch-clock/STAGE/legacy-NAME"
            " (docs/legacy-settings.md, A profile on AWS)."
        )


def copy_source(stage: str, into: Path) -> None:
    """Copy the deployed files, and the configuration of one stage, into an empty directory.

    Raises:
        StageError: the name is not valid for a stage.
    """
    check_stage(stage)
    copy_code(into)
    chalice = into / ".chalice"
    chalice.mkdir()
    model = (PROJECT / ".chalice").glob(f"policy-{_MODEL}-*.json")
    for path in [
        *(PROJECT / ".chalice" / f"{name}.json" for name in ("config", "resources")),
        *model,
    ]:
        text = rename_stage(stage, path.read_text(encoding="utf-8"))
        if path.name == "config.json":
            config = json.loads(text)
            config["stages"] = {stage: config["stages"][_MODEL]}
            text = json.dumps(config, indent=2)
        (chalice / rename_stage(stage, path.name)).write_text(text, encoding="utf-8")


def copy_code(into: Path) -> None:
    """Copy the deployed code, without bytecode of this machine, into an empty directory."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(PROJECT / name, into / name)
    bytecode = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(PROJECT / "chalicelib", into / "chalicelib", ignore=bytecode)


def package(
    stage: str, build: Path, runtime: str = RUNTIME, architecture: str = ARCHITECTURE
) -> Path:
    """Package a stage and return the path of the template, which refers to the zip beside it.

    Without an interpreter of the runtime's version on PATH, the zip contains no bytecode.

    Raises:
        StageError: the name is not valid for a stage, or its settings are too long.
        CalledProcessError: pip or Chalice failed; it has printed the reason.
    """
    source, out = build / "source", build / stage
    copy_source(stage, source)
    configuration = model_configuration(stage)
    for name, function in configuration["lambda_functions"].items():
        own = function.get("environment_variables", {})
        check_environment(name, configuration["environment_variables"] | own, _RESERVED_BYTES)
    wheels.install(downloaded_wheels(build), runtime, architecture, source / "vendor")
    (source / "requirements.txt").write_text("")  # vendor/ replaces it
    shutil.rmtree(out, ignore_errors=True)
    chalice = Path(sys.executable).parent / "chalice"
    options = ["--stage", stage, "--merge-template", ".chalice/resources.json"]
    subprocess.run(
        [chalice, "package", *options, out.resolve()],
        cwd=source,
        env=chalice_environment(),
        check=True,
    )
    _set_runtime(out / "sam.json", runtime, architecture)
    _rewrite_zip(out / "deployment.zip", interpreter(runtime))
    return out / "sam.json"


def chalice_environment() -> dict[str, str]:
    """Return the environment variables for Chalice, which are the same on every machine."""
    # Chalice derives the partition from the region, and uses it for nothing else.
    return {"AWS_DEFAULT_REGION": "eu-central-1", **os.environ, **packaging_environment()}


def packaging_environment() -> dict[str, str]:
    """Return the environment variables with which Chalice makes a zip, without those of AWS."""
    # Importing the app must not leave bytecode in the source.
    variables = {"PYTHONDONTWRITEBYTECODE": "1"}
    if WHEELS.is_dir():
        variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
    return variables


def downloaded_wheels(build: Path) -> Path:
    """Return the directory of the wheels; download them if ``make`` has not."""
    if WHEELS.is_dir():
        return WHEELS
    wheels.download(build / "wheels")
    return build / "wheels"


def _set_runtime(template: Path, runtime: str, architecture: str) -> None:
    """Replace the runtime of each function, which Chalice took from this interpreter."""
    document = json.loads(template.read_text(encoding="utf-8"))
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"] |= {"Runtime": runtime, "Architectures": [architecture]}
    template.write_text(json.dumps(document, indent=2), encoding="utf-8")


def _rewrite_zip(archive: Path, python: str | None) -> None:
    """Write a zip again with fixed order and dates, and with the bytecode of a Python, if any.

    Lambda's code directory is read-only: without bytecode, each cold start compiles all sources.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(root)
        if python is not None:
            compile_sources(root, python, "/var/task")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(each for each in root.rglob("*") if each.is_file()):
                entry = zipfile.ZipInfo(str(path.relative_to(root)))  # dated 1980-01-01
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def compile_sources(root: Path, python: str, deployed: str) -> None:
    """Add the bytecode of all sources, which is loaded without comparing it with them (PEP 552).

    Args:
        root: the directory of the sources.
        python: an interpreter of the version that loads the bytecode.
        deployed: the path of the directory in Lambda, for tracebacks.
    """
    # The bytes must not depend on the order of sets, hence a process with a fixed hash seed.
    subprocess.run(
        [
            *(python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", root, "-p", deployed, root),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
    )


def rename_stage(stage: str, text: str) -> str:
    """Replace ``prod`` by the stage in the names of resources and policy files."""
    return re.sub(rf"(?<=punch-clock[-/]){_MODEL}|(?<=policy-){_MODEL}", stage, text)
