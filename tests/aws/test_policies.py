"""Each function's policy allows exactly the AWS calls that its code makes.

``USES`` runs each function; ``recorded`` collects its calls.
"""

import ast
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import boto3
import pytest

import app
from chalicelib import container
from chalicelib.telemetry import ACCEPTED
from local.child_process import PROJECT
from tests.support.deployed_template import (
    CHALICE,
    FUNCTIONS,
    OPERATORS,
    PROD,
    ROUTES,
    deployed_name,
)
from tests.support.deployed_template import statements as statements_of
from tests.support.dynamodb_proxy import Call as ProxiedCall
from tests.support.dynamodb_proxy import DynamoDBProxy, Response, running
from tests.support.issuer import Issuer
from tests.support.lambda_events import context, rest_event, schedule_event
from tests.support.service import punch, reset_container, wired
from tests.support.tokens import OPERATOR

Call = tuple[str, str]  # an action and the ARN of its resource

ACCOUNT = "123456789012"
JSON = {"Content-Type": "application/json"}

# The actions of Lambda itself under a function's role: log lines, traces, the network interfaces of
# a VPC, and the delivery of failed events.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
NETWORK = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
FAILURES = {"sqs:SendMessage"}
# Which settings of the legacy are parameters differs from one legacy to the next.
LEGACY_PARAMETERS = "arn:aws:ssm:*:*:parameter/punch-clock/prod/legacy-*"
# The names of buckets end in the account and the region, so that they are unique in the world.
JOURNALS = "arn:aws:s3:::punch-clock-prod-journal-*"
JOURNAL = f"punch-clock-prod-journal-{ACCOUNT}-eu-central-1"
PLATFORM = LOGS | TRACES | NETWORK | FAILURES


def request(
    method: str, path: str, body: Any = None, headers: Mapping[str, str] = OPERATOR
) -> dict[str, Any]:
    text = json.dumps(body) if body else None
    return rest_event(method, path, body=text, headers={**JSON, **headers})


@dataclass(frozen=True)
class Stage:
    """What a use needs: the proxy in front of DynamoDB, and the issuer whose tokens are valid."""

    dynamodb: DynamoDBProxy
    issuer: Issuer

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return request(method, path, body, self.issuer.authorization())

    def operator_event(self, **members: Any) -> dict[str, Any]:
        return {"token": self.issuer.token(), **members}


def invoke(function: Callable[..., Any], event: dict[str, Any], status: int) -> dict[str, Any]:
    """Invoke a function with an HTTP request and return its response, which has this status."""
    response: dict[str, Any] = function(event, context())
    assert response["statusCode"] == status, response
    return response


def without_item(call: ProxiedCall) -> Response:
    """Remove the stored item from DynamoDB's response to a failed put: returning it is optional."""
    response = call.forward_unchanged()
    fields = {name: each for name, each in response.fields.items() if name != "Item"}
    return Response.of(response.status, **fields)


def post_duplicate(function: Callable[..., Any], stage: Stage) -> None:
    invoke(function, stage.request("POST", "/point-record", punch(1)), 201)
    stage.dynamodb.script("PutItem", without_item)
    invoke(function, stage.request("POST", "/point-record", punch(1)), 200)


def call_routes(stage: Stage) -> None:
    post_duplicate(app.app, stage)
    invoke(app.app, stage.request("GET", "/health"), 200)
    invoke(app.app, stage.request("GET", "/odata"), 200)
    headers = {**JSON, **stage.issuer.authorization()}
    records = rest_event(
        "GET",
        "/odata/PointRecords",
        resource="/odata/{resource}",
        path_parameters={"resource": "PointRecords"},
        headers=headers,
    )
    invoke(app.app, records, 200)
    changes = [
        {
            "id": str(each),
            "atomicityGroup": "g",
            "method": "POST",
            "url": "PointRecords",
            "headers": {"content-type": "application/json"},
            "body": punch(each),
        }
        for each in (3, 4)
    ]
    batch = rest_event(
        "POST",
        "/odata/$batch",
        resource="/odata/{resource}",
        path_parameters={"resource": "$batch"},
        body=json.dumps({"requests": changes}),
        headers=headers,
    )
    responses = json.loads(invoke(app.app, batch, 200)["body"])["responses"]
    assert [each["status"] for each in responses] == [201, 201]
    for name in ("replay", "quarantine", "release", "reconcile", "access-keys"):
        operate(stage, name)


def operate(stage: Stage, name: str) -> None:
    """Send a command of an operator over HTTP; for ``reconcile`` the log has a line."""
    line = {"at": datetime.now(UTC).isoformat(), "message": ACCEPTED, "id": str(uuid.uuid4())}
    commands: dict[str, tuple[dict[str, Any], int]] = {
        "replay": ({"filter": "employerId eq 121", "comment": "x"}, 200),
        "quarantine": ({"before": 1}, 200),
        "release": ({"quarantineId": 1, "comment": "x"}, 404),
        "reconcile": ({"comment": "x"}, 200),
        "access-keys": ({"name": "x", "employerId": 1, "comment": "x"}, 200),
    }
    if name == "reconcile":
        log_lines(line)
    body, status = commands[name]
    event = rest_event(
        "POST",
        f"/operations/{name}",
        resource="/operations/{name}",
        path_parameters={"name": name},
        body=json.dumps(body),
        headers={**JSON, **stage.issuer.authorization()},
    )
    response = invoke(app.app, event, status)
    if name == "reconcile":
        assert json.loads(response["body"])["missingIds"] == [line["id"]]


def replicate(stage: Stage) -> None:
    table = PROD["environment_variables"]["POINT_RECORD_TABLE"]
    boto3.client("dynamodb").put_item(TableName=table, Item={"id": {"S": "junk"}})
    with wired(journal()):
        invoke(app.app, stage.request("POST", "/point-record", punch(2)), 201)
        app.replicate(schedule_event(), context())


def journal() -> dict[str, str]:
    """Make a bucket for the journal; return the variables by which a function uses it."""
    place = {"LocationConstraint": "eu-central-1"}
    boto3.client("s3").create_bucket(Bucket=JOURNAL, CreateBucketConfiguration=place)
    return {"JOURNAL": f"s3:{JOURNAL}"}


def erase(stage: Stage) -> None:
    evidence = {"deviceId": "phone", "employeeId": 7, "employerId": 121}
    with wired(journal()), pytest.MonkeyPatch.context() as patch:
        patch.setattr("chalicelib.operations.erase.sleep", lambda _: None)
        item = {"id": {"S": "1"}, "record": {"S": json.dumps(evidence)}}
        container.journal().write("records", [json.dumps(evidence)])  # type: ignore[union-attr]
        table = PROD["environment_variables"]["POINT_RECORD_TABLE"]
        boto3.client("dynamodb").put_item(TableName=table, Item=item)
        result = app.erase(stage.operator_event(employer=121, employee=7), context())
        assert (result["buffer"], result["journal_files"]) == (1, 1)


def restore(stage: Stage) -> None:
    with wired(journal()):
        name = container.journal().write("records", ["no record"])  # type: ignore[union-attr]
        event = stage.operator_event(since=datetime.now(UTC).isoformat())
        assert app.restore(event, context())["damaged"] == [name]


def integrate() -> None:
    """Run with credentials, as docs/legacy-settings.md sets them."""
    name = "/punch-clock/prod/legacy-credentials"
    members = {"user": "ann", "password": "hush-hush"}
    boto3.client("ssm").put_parameter(Name=name, Value=json.dumps(members), Type="SecureString")
    login = {f"LEGACY_{member.upper()}": f"ssm:{name}#{member}" for member in members}
    with wired({"LEGACY_AUTH": "basic", **login}):
        app.integrate(schedule_event(), context())


def observe() -> None:
    with wired({"CANARY_EMPLOYER": "9", "CANARY_EMPLOYEE": "9"}):
        app.observe(schedule_event(), context())


def log_lines(line: dict[str, str]) -> None:
    """Write a line to each log group of the accepted log."""
    logs = boto3.client("logs")
    for group in (
        PROD["environment_variables"]["ACCEPTED_LOG"].removeprefix("cloudwatch:").split(",")
    ):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="x")
        stamped = {
            "timestamp": int(datetime.now(UTC).timestamp() * 1000),
            "message": json.dumps(line),
        }
        logs.put_log_events(logGroupName=group, logStreamName="x", logEvents=[stamped])


def reconcile(function: Callable[..., Any], event: dict[str, Any]) -> None:
    line = {"at": datetime.now(UTC).isoformat(), "message": ACCEPTED, "id": str(uuid.uuid4())}
    log_lines(line)
    result = function(event, context())
    assert result is None or result["missing_ids"] == [line["id"]]


# For each function, a program that makes it do every AWS call it can make.
USES: dict[str, Callable[[Stage], object]] = {
    ROUTES: call_routes,
    "intake": lambda stage: post_duplicate(app.intake, stage),
    "replicate": replicate,
    "integrate": lambda _: integrate(),
    "reconcile": lambda _: reconcile(app.reconcile, schedule_event()),
    "reconcile-period": lambda stage: reconcile(app.reconcile_period, stage.operator_event()),
    "observe": lambda _: observe(),
    "store-keys": lambda _: app.store_keys(schedule_event(), context()),
    "release": lambda stage: app.release(stage.operator_event(), context()),
    "access-keys": lambda stage: app.access_keys(stage.operator_event(), context()),
    "replay": lambda stage: app.replay(stage.operator_event(filter="employerId eq 121"), context()),
    "restore": restore,
    "erase": erase,
    "export": lambda stage: app.export(
        stage.operator_event(employer=121, employee=7, format="csv"), context()
    ),
    "legacy-check": lambda stage: app.legacy_check(stage.operator_event(), context()),
    "migrate": lambda stage: app.migrate(stage.operator_event(), context()),
}


# IAM checks a transaction by the action of each item.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
# Actions of S3 whose names are not those of its operations.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
ACTIONS = {"ListObjectsV2": "ListBucket"}
TRANSACTION = "TransactWriteItems"
IN_TRANSACTIONS = {"Put": "PutItem"}


@contextmanager
def recorded(calls: set[Call]) -> Iterator[DynamoDBProxy]:
    """Collect the calls of this process: those to DynamoDB in a proxy, the others in boto3."""

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.signing_name
        if service != "dynamodb":
            for arn in resources_of(service, params):
                calls.add((f"{service}:{ACTIONS.get(model.name, model.name)}", arn))

    boto3.setup_default_session()
    session = boto3.DEFAULT_SESSION
    session.events.register("provide-client-params", record)
    with (
        running(os.environ["AWS_ENDPOINT_URL_DYNAMODB"]) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        reset_container()
        yield proxy
        reset_container()
    session.events.unregister("provide-client-params", record)
    for operation, body in proxy.requests:
        if operation == TRANSACTION:
            for item in body["TransactItems"]:
                ((kind, write),) = item.items()
                for arn in resources_of("dynamodb", write):
                    calls.add((f"dynamodb:{IN_TRANSACTIONS[kind]}", arn))
        else:
            for arn in resources_of("dynamodb", body):
                calls.add((f"dynamodb:{operation}", arn))


def resources_of(service: str, params: dict[str, Any]) -> list[str]:
    """Return the ARNs of the resources of a call."""
    prefix = f"arn:aws:{service}:eu-central-1:{ACCOUNT}"
    if service == "dynamodb":
        tables = params.get("RequestItems", {params.get("TableName"): None})
        return [f"{prefix}:table/{table}" for table in tables]
    if service == "s3":
        name = params["Bucket"] + (f"/{params['Key']}" if "Key" in params else "")
        return [f"arn:aws:s3:::{name}"]
    if service == "ssm":
        return [f"{prefix}:parameter{params['Name']}"]
    if service == "secretsmanager":  # AWS adds a hyphen and six characters to the name
        return [f"{prefix}:secret:{params.get('Name') or params['SecretId']}-a1B2c3"]
    assert service == "logs", "no ARNs are defined here for this service: add them"
    return [f"{prefix}:log-group:{params['logGroupName']}:*"]


def allowed(function: str) -> set[Call]:
    """Return the actions that a policy allows to the function's code, each with its resource."""
    return {
        (action, resource)
        for statement in statements_of(function)
        for action in statement["Action"]
        for resource in statement["Resource"]
        if action not in PLATFORM
    }


def test_each_function_has_its_own_policy_and_a_use() -> None:
    assert sorted(PROD["lambda_functions"]) == FUNCTIONS
    assert sorted(USES) == FUNCTIONS
    assert PROD["autogen_policy"] is False
    files = [PROD["lambda_functions"][each]["iam_policy_file"] for each in FUNCTIONS]
    assert sorted(files) == sorted(path.name for path in CHALICE.glob("policy-prod-*.json"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_policy_allows_exactly_the_calls_of_the_function(
    function: str, prod: dict[str, str], issuer: Issuer
) -> None:
    calls: set[Call] = set()
    with wired(issuer.environment), recorded(calls) as dynamodb:
        USES[function](Stage(dynamodb, issuer))
    calls |= in_secrets_manager(calls)
    made = {call for call in calls if not is_setup(function, call)}
    rules = allowed(function)
    for action, arn in made:
        assert any(action == rule and fnmatchcase(arn, of) for rule, of in rules), (action, arn)
    for rule, of in rules:
        assert any(action == rule and fnmatchcase(arn, of) for action, arn in made), (rule, of)


def in_secrets_manager(calls: set[Call]) -> set[Call]:
    """Read the databases' parameters among the calls from Secrets Manager; return those calls.

    docs/deployment.md lets the operator choose between the two.
    """
    read: set[Call] = set()
    for setting in ("DATABASE_URL", "ODATA_DATABASE_URL"):
        path = PROD["environment_variables"][setting].removeprefix("ssm:")
        if ("ssm:GetParameter", *resources_of("ssm", {"Name": path})) in calls:
            name = path.removeprefix("/")
            secret = {"username": "x", "password": "x", "host": "127.0.0.1", "dbname": "x"}
            boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(secret))
            with wired({setting: f"secretsmanager:{name}"}), recorded(read):
                assert json.loads(container.resolved(setting.lower())) == secret
    return read


def is_setup(function: str, call: Call) -> bool:
    """Return whether the test itself makes a call, to prepare the use of a function."""
    action, _ = call
    logs = {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}
    return action in {
        "replicate": {"dynamodb:PutItem", "dynamodb:GetItem", "s3:CreateBucket"},
        "integrate": {"ssm:PutParameter"},
        "erase": {"s3:CreateBucket"},
        "restore": {"s3:CreateBucket", "s3:PutObject"},
        ROUTES: logs,
        "reconcile": logs,
        "reconcile-period": logs,
    }.get(function, set())


def test_only_the_schedule_may_write_the_keys_that_verify_tokens() -> None:
    """A principal that may write them can forge tokens."""
    keys = f"arn:aws:dynamodb:*:*:table/{PROD['environment_variables']['JWKS_TABLE']}"
    rights = {
        (function, action)
        for function in FUNCTIONS
        for action, resource in allowed(function)
        if resource == keys
    }
    readers = {ROUTES, "intake", "store-keys"} | OPERATORS
    assert rights == {
        ("store-keys", "dynamodb:PutItem"),
        *((reader, "dynamodb:GetItem") for reader in readers),
    }


def test_every_aws_call_in_the_code_is_allowed_to_some_function() -> None:
    """Find calls in the source that no use exercises and no policy allows."""
    # Clients have these names. The only paginator, of ``logs``, takes its operation as an argument.
    client = re.compile(r"(\b_?client|\blogs|\bclient\(.*\))$")
    methods = {"filter_log_events"} | {
        node.func.attr
        for path in [PROJECT / "app.py", *sorted((PROJECT / "chalicelib").rglob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if client.search(ast.unparse(node.func.value))
    }
    references = {value.partition(":")[0] for value in PROD["environment_variables"].values()}
    assert "ssm" in references
    services = {"dynamodb", "logs", "s3", "ssm", "secretsmanager"}
    operations = {
        f"{service}:{ACTIONS.get(operation, operation)}"
        for service in services
        for name, operation in boto3.client(
            service, region_name="eu-central-1"
        ).meta.method_to_api_mapping.items()
        if name in methods and operation != TRANSACTION
    }
    assert operations == {action for each in FUNCTIONS for action, _ in allowed(each)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_policy_allows_the_actions_of_lambda_itself(function: str) -> None:
    resources = {
        action: statement["Resource"]
        for statement in statements_of(function)
        for action in statement["Action"]
        if action in PLATFORM
    }
    reads_postgres = function != "intake"
    expected = LOGS | TRACES
    expected |= NETWORK if reads_postgres else set()
    expected |= FAILURES if function == "reconcile" else set()
    assert set(resources) == expected
    name = deployed_name(function)
    assert {resource for each in LOGS for resource in resources[each]} == {
        f"arn:aws:logs:*:*:log-group:/aws/lambda/{name}:*"
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_policy_has_no_wildcards_for_the_functions_own_code(function: str) -> None:
    for action, resource in allowed(function):
        assert "*" not in action
        assert resource.rpartition(":")[2] not in ("*", "") or ":log-group:" in resource
        if resource == LEGACY_PARAMETERS or resource.startswith(JOURNALS):
            continue
        assert "*" not in resource.removeprefix("arn:aws:").removesuffix(":*").split(":", 3)[3]
