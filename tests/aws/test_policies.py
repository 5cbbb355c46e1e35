"""Each function may do what its code does: neither less, nor more."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import boto3
import pytest

import app
from chalicelib.telemetry import ACCEPTED
from local.process import PROJECT
from tests.support.deployed_template import (
    CHALICE,
    FUNCTIONS,
    PROD,
    ROUTES,
    SCHEDULES,
    deployed_name,
)
from tests.support.deployed_template import statements as statements_of
from tests.support.lambda_events import context, rest_event, schedule_event
from tests.support.service import punch
from tests.support.tokens import OPERATOR, asked

Call = tuple[str, str]  # an action and the ARN of what it is done to

ACCOUNT = "123456789012"
JSON = {"Content-Type": "application/json", **OPERATOR}

# What Lambda itself does in a function's name, not its code: lines of the log, traces, the network
# interfaces of a VPC, and what becomes of an event that failed.
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
PLATFORM = LOGS | TRACES | NETWORK | FAILURES


def request(method: str, path: str, body: Any = None) -> dict[str, Any]:
    return rest_event(method, path, body=json.dumps(body) if body else None, headers=JSON)


def ask(function: Callable[..., Any], event: dict[str, Any], status: int) -> dict[str, Any]:
    answer: dict[str, Any] = function(event, context())
    assert answer["statusCode"] == status, answer
    return answer


@contextmanager
def stingy() -> Iterator[None]:
    """Let DynamoDB not say what stood in a put's way, as it need not."""

    def forget(parsed: dict[str, Any], **_: Any) -> None:
        parsed.pop("Item", None)

    client = app.container.dynamodb()
    client.meta.events.register("after-call.dynamodb.PutItem", forget)
    yield
    client.meta.events.unregister("after-call.dynamodb.PutItem", forget)


def punch_twice(function: Callable[..., Any]) -> None:
    ask(function, request("POST", "/point-record", punch(1)), 201)
    with stingy():
        ask(function, request("POST", "/point-record", punch(1)), 200)


def use_routes() -> None:
    punch_twice(app.app)
    ask(app.app, request("GET", "/health"), 200)
    ask(app.app, request("GET", "/odata"), 200)
    records = rest_event(
        "GET",
        "/odata/PointRecords",
        resource="/odata/{resource}",
        path_parameters={"resource": "PointRecords"},
        headers=JSON,
    )
    ask(app.app, records, 200)
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
        headers=JSON,
    )
    replies = json.loads(ask(app.app, batch, 200)["body"])["responses"]
    assert [each["status"] for each in replies] == [201, 201]


def replicate() -> None:
    table = PROD["environment_variables"]["POINT_RECORD_TABLE"]
    boto3.client("dynamodb").put_item(TableName=table, Item={"id": {"S": "junk"}})
    ask(app.app, request("POST", "/point-record", punch(2)), 201)
    app.replicate(schedule_event(), context())


def reconcile(function: Callable[..., Any], event: dict[str, Any]) -> None:
    logs = boto3.client("logs")
    line = {"at": datetime.now(UTC).isoformat(), "message": ACCEPTED, "id": str(app.uuid.uuid4())}
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
    found = function(event, context())
    assert found is None or found["missing"] == [line["id"]]


# All that a function does to AWS, one way or another.
USES: dict[str, Callable[[], object]] = {
    ROUTES: use_routes,
    "intake": lambda: punch_twice(app.intake),
    "replicate": replicate,
    "integrate": lambda: app.integrate(schedule_event(), context()),
    "reconcile": lambda: reconcile(app.reconcile, schedule_event()),
    "reconcile-period": lambda: reconcile(app.reconcile_period, asked()),
    "observe": lambda: app.observe(schedule_event(), context()),
    "release": lambda: app.release(asked(), context()),
    "replay": lambda: app.replay(asked(filter="employerId eq 121"), context()),
    "migrate": lambda: app.migrate(asked(), context()),
}


# What a transaction does to each item is allowed by the action of its own.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
TRANSACTION = "TransactWriteItems"
IN_TRANSACTIONS = {"Put": "PutItem"}


@contextmanager
def recorded(calls: set[Call]) -> Iterator[None]:
    """Note each call that a boto3 client of this process makes."""

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.signing_name
        if model.name == TRANSACTION:
            for item in params["TransactItems"]:
                ((kind, write),) = item.items()
                calls.update(
                    (f"dynamodb:{IN_TRANSACTIONS[kind]}", arn) for arn in touched(service, write)
                )
            return
        for arn in touched(service, params):
            calls.add((f"{service}:{model.name}", arn))

    boto3.setup_default_session()
    session = boto3.DEFAULT_SESSION
    session.events.register("provide-client-params", note)
    yield
    session.events.unregister("provide-client-params", note)


def touched(service: str, params: dict[str, Any]) -> list[str]:
    """Return the ARNs of what a call is about."""
    prefix = f"arn:aws:{service}:eu-central-1:{ACCOUNT}"
    if service == "dynamodb":
        tables = params.get("RequestItems", {params.get("TableName"): None})
        return [f"{prefix}:table/{table}" for table in tables]
    if service == "ssm":
        return [f"{prefix}:parameter{params['Name']}"]
    assert service == "logs", "a new service: say how its ARNs are made"
    return [f"{prefix}:log-group:{params['logGroupName']}:*"]


def allowed(function: str) -> set[Call]:
    """Return each action that a function's own code may take, with the pattern of its resource."""
    return {
        (action, resource)
        for statement in statements_of(function)
        for action in statement["Action"]
        for resource in statement["Resource"]
        if action not in PLATFORM
    }


def test_each_function_has_a_policy_of_its_own_and_a_use_here() -> None:
    assert sorted(PROD["lambda_functions"]) == FUNCTIONS
    assert sorted(USES) == FUNCTIONS
    assert PROD["autogen_policy"] is False
    files = [PROD["lambda_functions"][each]["iam_policy_file"] for each in FUNCTIONS]
    assert sorted(files) == sorted(path.name for path in CHALICE.glob("policy-*.json"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_what_it_does_and_nothing_else(
    function: str, prod: dict[str, str]
) -> None:
    calls: set[Call] = set()
    with recorded(calls):
        USES[function]()
    mine = {call for call in calls if not is_the_tests_own(function, call)}
    patterns = allowed(function)
    for action, arn in mine:
        assert any(action == may and fnmatchcase(arn, of) for may, of in patterns), (action, arn)
    for may, of in patterns:
        assert any(action == may and fnmatchcase(arn, of) for action, arn in mine), (may, of)


def is_the_tests_own(function: str, call: Call) -> bool:
    """Say whether a call was made to set the scene."""
    action, _ = call
    logs = {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}
    return action in {
        "replicate": {"dynamodb:PutItem"},
        "reconcile": logs,
        "reconcile-period": logs,
    }.get(function, set())


def test_whatever_the_code_can_call_some_function_does() -> None:
    """What no use above exercises, and no policy allows, shows here."""
    # Clients go by these names; the one paginator, of ``logs``, has its operation for an argument.
    client = re.compile(r"(\b_?client|\blogs|\bclient\(.*\))$")
    named = {"filter_log_events"} | {
        node.func.attr
        for path in [PROJECT / "app.py", *sorted((PROJECT / "chalicelib").rglob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if client.search(ast.unparse(node.func.value))
    }
    references = {value.partition(":")[0] for value in PROD["environment_variables"].values()}
    services = {"dynamodb", "logs"} | references & {"ssm", "secretsmanager"}
    operations = {
        f"{service}:{operation}"
        for service in services
        for name, operation in boto3.client(
            service, region_name="eu-central-1"
        ).meta.method_to_api_mapping.items()
        if name in named and operation != TRANSACTION
    }
    assert operations == {action for each in FUNCTIONS for action, _ in allowed(each)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_lambda_may_do_for_a_function_what_it_must(function: str) -> None:
    found = {
        action: statement["Resource"]
        for statement in statements_of(function)
        for action in statement["Action"]
        if action in PLATFORM
    }
    reads_postgres = function != "intake"
    wanted = LOGS | TRACES
    wanted |= NETWORK if reads_postgres else set()
    wanted |= FAILURES if function in SCHEDULES else set()
    assert set(found) == wanted
    name = deployed_name(function)
    assert {resource for each in LOGS for resource in found[each]} == {
        f"arn:aws:logs:*:*:log-group:/aws/lambda/{name}:*"
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_policy_allows_by_a_wildcard(function: str) -> None:
    for action, resource in allowed(function):
        assert "*" not in action
        assert resource.rpartition(":")[2] not in ("*", "") or ":log-group:" in resource
        assert "*" not in resource.removeprefix("arn:aws:").removesuffix(":*").split(":", 3)[3]
