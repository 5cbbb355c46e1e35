"""The zip that is deployed: complete, small, and at work in a place that has nothing else."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy.package import package
from local.process import PROJECT
from tests.support.deployed_template import FUNCTIONS
from tests.support.lambda_events import rest_event, schedule_event
from tests.support.service import punch
from tests.support.tokens import OPERATOR, asked

# What Lambda's runtime for Python has of its own.
RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")
JSON = {"Content-Type": "application/json", **OPERATOR}
# What the tests and docs/decisions/0015 say of it; a library more shows here.
LONGEST_ZIP = 8_000_000


class Runtime:
    """A process that has the unpacked zip and the runtime's own libraries, and nothing else."""

    def __init__(self, task: Path, runtime: Path) -> None:
        # -I: no variable of Python's and no user's site; -S: no site-packages.
        program = PROJECT / "tests" / "aws" / "runtime.py"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", program, task, runtime],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=task,
            env={
                name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
            },
        )

    def invoke(self, handler: str, event: dict[str, Any]) -> Any:
        """Hand an event to a handler, as its configuration names it."""
        process = self._process
        assert process.stdin
        assert process.stdout
        call = {"handler": handler, "event": event, "ms": 60_000}
        process.stdin.write(json.dumps(call) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            told = json.loads(line)
            if "returned" in told:
                assert told["strangers"] == []
                return told["returned"]
        raise AssertionError("the process has ended")

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="session")
def task(packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, unpacked, not to be written to."""
    directory = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(packaged.with_name("deployment.zip")) as packed:
        packed.extractall(directory)
    return directory


@pytest.fixture
def runtime(task: Path, tmp_path: Path, prod: dict[str, str]) -> Iterator[Runtime]:
    for name in RUNTIME:
        (tmp_path / name).symlink_to(Path(boto3.__file__).parents[1] / name)
    runtime = Runtime(task, tmp_path)
    yield runtime
    runtime.end()


def handlers(template: dict[str, Any]) -> dict[str, str]:
    """Return the handler of each function, by its name in the template."""
    return {
        name: each["Properties"]["Handler"]
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::Serverless::Function"
    }


def test_a_punch_goes_all_the_way_through_the_functions_of_the_zip(
    runtime: Runtime, template: dict[str, Any]
) -> None:
    handler = handlers(template)
    assert len(handler) == len(FUNCTIONS)
    body = json.dumps(punch(1)).encode()
    event = rest_event("POST", "/point-record", body=body, headers=JSON)
    assert event["isBase64Encoded"]
    posted = runtime.invoke(handler["Intake"], event)
    assert posted["statusCode"] == 201
    record_id = json.loads(posted["body"])["id"]
    for schedule in ("Replicate", "Integrate", "Observe"):
        assert runtime.invoke(handler[schedule], schedule_event()) is None
    queried = rest_event(
        "GET",
        "/odata/PointRecords",
        resource="/odata/{resource}",
        path_parameters={"resource": "PointRecords"},
        query={"$filter": ["employeeId eq 1"], "$select": ["id,status"], "$expand": ["logs"]},
        headers=JSON,
    )
    answer = runtime.invoke(handler["APIHandler"], queried)
    assert answer["statusCode"] == 200
    (record,) = json.loads(answer["body"])["value"]
    assert (record["id"], record["status"]) == (record_id, "INTEGRATED")
    nothing = rest_event("POST", "/point-record", body=None, headers=JSON)
    assert runtime.invoke(handler["Intake"], nothing)["statusCode"] == 400
    assert runtime.invoke(handler["Migrate"], asked()) == []
    assert runtime.invoke(handler["Release"], asked()) == []


def test_the_zip_has_what_is_deployed_and_no_more(packaged: Path, task: Path) -> None:
    assert packaged.with_name("deployment.zip").stat().st_size < LONGEST_ZIP
    for name in RUNTIME[:2]:
        assert not (task / name).exists()
    ours = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "chalicelib").rglob("*")
        if path.suffix in (".py", ".sql", ".json")
    }
    packed = {
        str(path.relative_to(task))
        for path in (task / "chalicelib").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == ours
    sources = [path for path in task.rglob("*.py") if "__pycache__" not in path.parts]
    for path in sources:  # nothing is left to compile at a cold start
        assert list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")), path


def test_the_requirements_name_all_that_the_zip_has_of_others(task: Path) -> None:
    """Whatever they left open would be what is newest on the day of the deployment."""
    packed = {
        f"{each.metadata['Name'].lower().replace('_', '-')}=={each.version}"
        for each in distributions(path=[str(task)])
    }
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    assert packed == {line for line in lines if line and not line.startswith("#")}


def test_the_same_code_makes_the_same_zip(packaged: Path, tmp_path: Path) -> None:
    again = package("prod", tmp_path)
    first, second = (each.with_name("deployment.zip").read_bytes() for each in (packaged, again))
    assert first == second
