"""The deployed zip is complete, small and reproducible, and runs without anything else.

Its wheels and bytecode fit ``RUNTIME`` and ``ARCHITECTURE``. To run it, the tests need an
interpreter of that version on PATH, and a machine with that processor. Without them they run a zip
that was packaged for what is there.
"""

import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from deploy.package import WHEELS, package
from deploy.runtime import (
    ARCHITECTURE,
    MACHINES,
    RUNNING,
    RUNNING_ARCHITECTURE,
    RUNTIME,
    interpreter,
    version,
)
from deploy.wheels import platforms
from local.child_process import PROJECT
from tests.support.deployed_template import FUNCTIONS
from tests.support.http_server import HttpServer, Response
from tests.support.lambda_events import rest_event, schedule_event
from tests.support.lambda_process import RUNTIME_LIBRARIES, LambdaProcess
from tests.support.service import punch
from tests.support.tokens import OPERATOR, operator_event

JSON = {"Content-Type": "application/json", **OPERATOR}
# docs/decisions/0015 states 18.1 MB; one more compiled library exceeds this.
MAX_ZIP_BYTES = 18_500_000

# The runtime whose code can be run here.
EXECUTABLE = RUNTIME if interpreter(RUNTIME) else RUNNING


@pytest.fixture(scope="session")
def archive(packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of the runtime and processor that can be run here."""
    if (EXECUTABLE, RUNNING_ARCHITECTURE) == (RUNTIME, ARCHITECTURE):
        return packaged.with_name("deployment.zip")
    build = tmp_path_factory.mktemp("build")
    template = package("prod", build, EXECUTABLE, RUNNING_ARCHITECTURE)
    return template.with_name("deployment.zip")


@pytest.fixture(scope="session")
def task(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked zip; tests only read it."""
    directory = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(directory)
    return directory


@pytest.fixture
def issuer() -> Iterator[HttpServer]:
    """A token endpoint."""
    with HttpServer(lambda _: Response(body=b'{"access_token": "t"}')).running() as server:
        yield server


@pytest.fixture
def process(
    task: Path, tmp_path: Path, prod: dict[str, str], issuer: HttpServer
) -> Iterator[LambdaProcess]:
    """The functions, for a legacy that asks for tokens: those take the most libraries."""
    oauth2 = {
        "LEGACY_AUTH": "oauth2",
        "LEGACY_TOKEN_URL": issuer.url,
        "LEGACY_CLIENT_ID": "punch-clock",
        "LEGACY_CLIENT_SECRET": "s3cret",
    }
    python = interpreter(EXECUTABLE) or sys.executable
    process = LambdaProcess(task, tmp_path, python, {**os.environ, **oauth2})
    yield process
    process.kill()


def handlers(template: dict[str, Any]) -> dict[str, str]:
    """Return the handler of each function, by its name in the template."""
    return {
        name: each["Properties"]["Handler"]
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::Serverless::Function"
    }


def test_functions_of_the_zip_take_a_punch_from_post_to_integrated(
    process: LambdaProcess, template: dict[str, Any], issuer: HttpServer
) -> None:
    handler = handlers(template)
    assert len(handler) == len(FUNCTIONS)
    body = json.dumps(punch(1)).encode()
    event = rest_event("POST", "/point-record", body=body, headers=JSON)
    assert event["isBase64Encoded"]
    posted = process.invoke(handler["Intake"], event)
    assert posted["statusCode"] == 201
    record_id = json.loads(posted["body"])["id"]
    for schedule in ("Replicate", "Integrate", "Observe"):
        assert process.invoke(handler[schedule], schedule_event()) is None
    queried = rest_event(
        "GET",
        "/odata/PointRecords",
        resource="/odata/{resource}",
        path_parameters={"resource": "PointRecords"},
        query={"$filter": ["employeeId eq 1"], "$select": ["id,status"], "$expand": ["logs"]},
        headers=JSON,
    )
    response = process.invoke(handler["APIHandler"], queried)
    assert response["statusCode"] == 200
    (record,) = json.loads(response["body"])["value"]
    assert (record["id"], record["status"]) == (record_id, "INTEGRATED")
    assert len(issuer.requests) == 1
    empty = rest_event("POST", "/point-record", body=None, headers=JSON)
    assert process.invoke(handler["Intake"], empty)["statusCode"] == 400
    assert process.invoke(handler["Migrate"], operator_event()) == []
    assert process.invoke(handler["Release"], operator_event()) == []


def test_zip_contains_the_deployed_files_and_no_boto3(archive: Path, task: Path) -> None:
    assert archive.stat().st_size < MAX_ZIP_BYTES
    for name in RUNTIME_LIBRARIES[:2]:
        assert not (task / name).exists()
    sources = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "chalicelib").rglob("*")
        if path.suffix in (".py", ".sql", ".json", ".pem")
        or (path.parent.name == "files" and path.is_file())
    }
    packed = {
        str(path.relative_to(task))
        for path in (task / "chalicelib").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == sources


def test_zip_contains_the_bytecode_of_each_source(task: Path) -> None:
    """Without it, the source is compiled again at each cold start."""
    sources = [path for path in task.rglob("*.py") if "__pycache__" not in path.parts]
    assert sources
    tag = f"cpython-{version(EXECUTABLE).replace('.', '')}"
    for path in sources:
        assert (path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").exists(), path


def test_wheels_in_the_deployed_zip_fit_the_pinned_runtime(packaged: Path) -> None:
    with zipfile.ZipFile(packaged.with_name("deployment.zip")) as packed:
        metadata = [
            packed.read(name).decode()
            for name in packed.namelist()
            if name.endswith(".dist-info/WHEEL")
        ]
        # Not those that a wheel brings for its own modules: they do not depend on Python.
        libraries = [
            name
            for name in packed.namelist()
            if name.endswith(".so") and not name.partition("/")[0].endswith(".libs")
        ]
    supported = loadable(ARCHITECTURE)
    digits = version(RUNTIME).replace(".", "")
    assert metadata
    for text in metadata:
        tags = {Tag(*each) for each in re.findall(r"^Tag: (.+)-(.+)-(.+)$", text, re.MULTILINE)}
        assert tags & supported, tags
    assert libraries
    compiled = rf"\.(abi3|cpython-{digits}-{MACHINES[ARCHITECTURE]}-linux-gnu)\.so$"
    for name in libraries:
        assert re.search(compiled, name), name


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_each_requirement_has_a_wheel_for_the_pinned_runtime(architecture: str) -> None:
    supported = loadable(architecture)
    found = set()
    for path in WHEELS.glob("*.whl"):
        name, release, _, tags = parse_wheel_filename(path.name)
        if tags & supported:
            found.add(f"{name}=={release}")
    assert set(requirements()) <= found


def loadable(architecture: str) -> set[Tag]:
    """Return the tags of the wheels that ``RUNTIME`` can load on a processor (PEP 425)."""
    python = tuple(int(each) for each in version(RUNTIME).split("."))
    digits = version(RUNTIME).replace(".", "")
    tags = platforms(architecture)
    return {
        *cpython_tags(python, platforms=tags),
        *compatible_tags(python, f"cp{digits}", tags),
    }


def requirements() -> list[str]:
    """Return the lines of ``requirements.txt`` that name a library and its version."""
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_requirements_pin_every_library_of_the_zip(task: Path) -> None:
    """A library that is not pinned would be the newest one on the day of the deployment."""
    packed = {
        f"{each.metadata['Name'].lower().replace('_', '-')}=={each.version}"
        for each in distributions(path=[str(task)])
    }
    assert packed == set(requirements())


def test_same_code_gives_the_same_zip(archive: Path, tmp_path: Path) -> None:
    again = package("prod", tmp_path, EXECUTABLE, RUNNING_ARCHITECTURE)
    assert archive.read_bytes() == again.with_name("deployment.zip").read_bytes()
