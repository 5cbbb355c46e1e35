"""Run a command of Chalice for a configured stage, with the pinned runtime and its wheels.

By itself Chalice deploys the runtime of the interpreter that runs it, and leaves out, with a mere
warning, each library that has no wheel for it: pycurl has none for the older Linux of Python 3.11.
So the command runs on a copy of the project in which ``vendor/`` has the wheels of ``RUNTIME``, as
in ``package``. The record of what is deployed stays in the project.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from chalice import cli
from chalice.config import Config

from deploy import wheels
from deploy.configure import check_complete, write_policies
from deploy.package import (
    PROJECT,
    StageError,
    compile_sources,
    copy_code,
    downloaded_wheels,
    packaging_environment,
    stage_configuration,
)
from deploy.runtime import RUNTIME, interpreter


def run(stage: str, arguments: list[str], project: Path = PROJECT, runtime: str = RUNTIME) -> int:
    """Run ``chalice ARGUMENTS --stage STAGE``; return its exit code.

    Raises:
        StageError: nobody has configured the stage.
        CalledProcessError: a wheel is missing; pip has printed which.
    """
    source = project / "build" / stage / "chalice"
    _prepare(stage, source, project, runtime)
    os.environ.update(packaging_environment())
    os.chdir(source)
    pin(Config, runtime)
    sys.argv = ["chalice", *arguments, "--stage", stage]
    return int(cli.main() or 0)


def pin(config: Any, runtime: str) -> None:
    """Make a class of Chalice's configuration name a runtime."""
    config.lambda_python_version = property(lambda _: runtime)


def _prepare(stage: str, source: Path, project: Path, runtime: str) -> None:
    """Copy the project, and add the libraries of the runtime and the bytecode."""
    configuration = stage_configuration(stage, project)
    if "subnet_ids" not in configuration["lambda_functions"]["api_handler"]:
        raise StageError(f"First configure the stage: python -m deploy configure --stage {stage}")
    check_complete(stage, configuration)
    copy_code(source)
    deployed = project / ".chalice" / "deployed"
    deployed.mkdir(exist_ok=True)
    chalice = source / ".chalice"
    chalice.mkdir()
    shutil.copy(project / ".chalice" / "config.json", chalice / "config.json")
    write_policies(stage, chalice)
    (chalice / "deployed").symlink_to(deployed.resolve())
    vendor = source / "vendor"
    store = downloaded_wheels(project / "build")
    wheels.install(store, runtime, configuration["lambda_architecture"], vendor)
    (source / "requirements.txt").write_text("")  # vendor/ replaces it
    if python := interpreter(runtime):
        compile_sources(source / "chalicelib", python, "/var/task/chalicelib")
        compile_sources(vendor, python, "/var/task")
