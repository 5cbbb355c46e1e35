"""``chalice deploy`` of a configured stage, against moto, gives a system that works end to end.

The functions run from the zip that Chalice uploaded, with exactly the environment of the deployed
function. Around them are moto, PostgreSQL, an HTTP legacy and an issuer of tokens.
"""

import io
import json
import os
import shutil
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import trustme
from moto.awslambda.models import lambda_backends

from deploy import companion
from deploy.configure import CONCURRENCY, configure
from deploy.package import PROJECT
from deploy.runtime import RUNNING_ARCHITECTURE, interpreter
from local.postgres import Postgres
from tests.aws.conftest import REGION
from tests.aws.test_policies import ACCOUNT
from tests.aws.test_stack import any_security_group, any_subnet, served_by
from tests.aws.test_zip import EXECUTABLE
from tests.conftest import SimulatedLegacy, run_statement
from tests.support.deployed_template import FUNCTIONS, PROD, ROUTES, SCHEDULES, statements
from tests.support.issuer import AUDIENCE, NAME, Issuer
from tests.support.lambda_events import rest_event, schedule_event
from tests.support.lambda_process import LambdaProcess
from tests.support.moto_patches import UNKNOWN_TO_MOTO, rest_apis_from_swagger
from tests.support.service import punch

STAGE = "plant7"
NOT_COMMITTED = shutil.ignore_patterns("deployed", "deployments")


def deployed_name(function: str) -> str:
    return f"punch-clock-{STAGE}" + ("" if function == ROUTES else f"-{function}")


def chalice(project: Path, *arguments: str) -> None:
    """Run Chalice for the stage of a project, and check that it succeeds.

    The runtime is the pinned one if an interpreter of it is here to run the functions.
    """
    program = (
        "import sys; from pathlib import Path; from deploy.pinned_chalice import run;"
        "sys.exit(run(sys.argv[1], sys.argv[4:], Path(sys.argv[2]), sys.argv[3]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, STAGE, project, EXECUTABLE, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def issuer(authorities: Path) -> Iterator[Issuer]:
    """An issuer at an https URL, which the template requires."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(authorities))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    with Issuer("a").running(tls) as issuer:
        yield issuer


@pytest.fixture
def authorities(tmp_path: Path) -> Path:
    """The file with the authority of the issuer's certificate."""
    return tmp_path / "authorities.pem"


@pytest.fixture
def project(aws: pytest.MonkeyPatch, issuer: Issuer, tmp_path: Path) -> Path:
    """A checkout with the stage that a deployer has configured."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT / ".chalice", project / ".chalice", ignore=NOT_COMMITTED)
    parameters = {
        "JwksUrl": issuer.url,
        "JwtIssuer": NAME,
        "JwtAudience": AUDIENCE,
        "SubnetIds": any_subnet(),
        "SecurityGroupIds": any_security_group(),
    }
    configure(STAGE, parameters, architecture=RUNNING_ARCHITECTURE, project=project)
    return project


@pytest.fixture
def parameters(
    aws: pytest.MonkeyPatch, postgres_server: Postgres, legacy: SimulatedLegacy
) -> Iterator[None]:
    """The parameters that docs/deployment.md names; the database is empty."""
    run_statement(postgres_server, "CREATE DATABASE deployed")
    url = postgres_server.url("deployed")
    secrets = {"database-url": url, "odata-database-url": url, "legacy-url": legacy.url}
    for name, value in secrets.items():
        path = f"/punch-clock/{STAGE}/{name}"
        boto3.client("ssm").put_parameter(Name=path, Value=value, Type="SecureString")
    yield
    run_statement(postgres_server, "DROP DATABASE deployed WITH (FORCE)")


class Deployed:
    """The functions of the stage, each in a process with its own environment."""

    def __init__(self, directory: Path, authorities: Path) -> None:
        self._directory = directory
        self._authorities = authorities
        self._processes: dict[str, tuple[LambdaProcess, str]] = {}

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function. Its first invocation is a cold start."""
        if function not in self._processes:
            self._processes[function] = self._start(deployed_name(function))
        process, handler = self._processes[function]
        return process.invoke(handler, event)

    def _start(self, name: str) -> tuple[LambdaProcess, str]:
        """Start a process from the zip and the environment that Lambda has; add the handler."""
        stored = lambda_backends[ACCOUNT][REGION].get_function(name)
        configuration = boto3.client("lambda").get_function_configuration(FunctionName=name)
        task = self._directory / stored.code_sha_256.replace("/", "_")
        if not task.exists():  # Chalice uploads one zip for all functions
            with zipfile.ZipFile(io.BytesIO(stored.code_bytes)) as packed:
                packed.extractall(task)
        libraries = self._directory / name
        libraries.mkdir()
        environment = {
            **configuration["Environment"]["Variables"],
            # What Lambda sets itself.
            # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{configuration['Runtime']}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            # AWS is moto, and the issuer's authority is not a public one.
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "SSL_CERT_FILE": str(self._authorities),
        }
        python = interpreter(EXECUTABLE) or sys.executable
        process = LambdaProcess(task, libraries, python, environment)
        return process, configuration["Handler"]

    def stop(self) -> None:
        for process, _ in self._processes.values():
            process.kill()


def create_stack_beside(stage: str) -> None:
    """Create the stack beside the stage, from the template that ``make chalice-deploy`` writes."""
    template = companion.companion(stage)
    template["Resources"] = {
        name: each
        for name, each in template["Resources"].items()
        if each["Type"] not in UNKNOWN_TO_MOTO
    }
    name = {"StackName": f"punch-clock-{stage}"}
    stacks = boto3.client("cloudformation")
    stacks.create_stack(**name, TemplateBody=json.dumps(template))
    assert stacks.describe_stacks(**name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


@pytest.mark.timeout(300)  # Chalice makes some two hundred calls
def test_configured_stage_takes_a_punch_from_post_to_the_legacy(
    project: Path,
    parameters: None,
    issuer: Issuer,
    authorities: Path,
    legacy: SimulatedLegacy,
    tmp_path: Path,
) -> None:
    create_stack_beside(STAGE)
    with rest_apis_from_swagger():
        chalice(project, "deploy")
    check_functions()
    check_routes(project)
    deployed = Deployed(tmp_path / "functions", authorities)
    try:
        check_way_of_a_punch(deployed, issuer, legacy)
    finally:
        deployed.stop()


def check_functions() -> None:
    """Check bounds, policy, network and log group of each function."""
    functions, iam = boto3.client("lambda"), boto3.client("iam")
    groups = {
        each["logGroupName"]: each
        for each in boto3.client("logs").describe_log_groups()["logGroups"]
    }
    for function in FUNCTIONS:
        name = deployed_name(function)
        configured = functions.get_function(FunctionName=name)
        actual = configured["Configuration"]
        assert actual["Runtime"] == EXECUTABLE
        bounds = PROD["lambda_functions"][function]
        assert actual["MemorySize"] == bounds["lambda_memory_size"]
        assert actual["Timeout"] == bounds["lambda_timeout"]
        assert actual["Architectures"] == [RUNNING_ARCHITECTURE]
        assert bool(actual.get("VpcConfig", {}).get("SubnetIds")) == (function != "intake")
        assert configured["Tags"].items() >= {"application": "punch-clock", "stage": STAGE}.items()
        reserved = configured["Concurrency"]["ReservedConcurrentExecutions"]
        expected = {ROUTES: CONCURRENCY, "intake": 1}.get(function, bounds["reserved_concurrency"])
        assert reserved == expected
        # Its policy allows no creation of the log group, so the stack made it.
        assert groups[f"/aws/lambda/{name}"]["retentionInDays"] == 90
        role = actual["Role"].rpartition("/")[2]
        (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        text = json.dumps(statements(function))
        text = text.replace("punch-clock-prod", f"punch-clock-{STAGE}")
        assert document["Statement"] == json.loads(
            text.replace("punch-clock/prod", f"punch-clock/{STAGE}")
        )
    rules = boto3.client("events").list_rules()["Rules"]
    assert {each["Name"] for each in rules} == {
        f"{deployed_name(each)}-event" for each in SCHEDULES
    }


def check_routes(project: Path) -> None:
    """Check that one function, with the concurrency of both, serves punches and queries."""
    path = project / ".chalice" / "deployed" / f"{STAGE}.json"
    resources = json.loads(path.read_text())["resources"]
    (api,) = [each["rest_api_id"] for each in resources if each["resource_type"] == "rest_api"]
    for route, method in [("/point-record", "POST"), ("/odata/{resource}", "GET")]:
        assert served_by(api, route, method) == deployed_name(ROUTES)


def check_way_of_a_punch(deployed: Deployed, issuer: Issuer, legacy: SimulatedLegacy) -> None:
    deployed.invoke("store-keys", schedule_event())
    issuer.is_down = True  # from now on its keys are in the table
    operator = issuer.token()
    applied = deployed.invoke("migrate", {"token": operator})
    assert applied, "the database was empty"

    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {operator}"}
    body = json.dumps(punch(1)).encode()
    posted = deployed.invoke(
        ROUTES, rest_event("POST", "/point-record", body=body, headers=headers)
    )
    assert posted["statusCode"] == 201, posted
    record_id = json.loads(posted["body"])["id"]
    assert deployed.invoke("replicate", schedule_event()) is None
    assert deployed.invoke("integrate", schedule_event()) is None
    assert legacy.accepted_ids() == [record_id]

    stranger = {**headers, "Authorization": "Bearer x"}
    query = {"$select": ["id,status"]}
    for sent, status in [(headers, 200), (stranger, 401)]:
        event = rest_event(
            "GET",
            "/odata/PointRecords",
            resource="/odata/{resource}",
            path_parameters={"resource": "PointRecords"},
            query=query,
            headers=sent,
        )
        answer = deployed.invoke(ROUTES, event)
        assert answer["statusCode"] == status, answer
        if status == 200:
            (record,) = json.loads(answer["body"])["value"]
            assert (record["id"], record["status"]) == (record_id, "INTEGRATED")
