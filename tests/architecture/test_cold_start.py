"""Cold start: every function imports ``app``, so ``app`` may load only what intake needs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chalicelib import schedules
from tests.support.issuer import Issuer
from tests.support.lambda_events import rest_event
from tests.support.service import PUNCH, environment, wired
from tests.support.tokens import OPERATOR

PROJECT = Path(__file__).resolve().parents[2]

INTAKE = {
    "chalicelib",
    "chalicelib.buffer",
    "chalicelib.container",
    "chalicelib.content_coding",
    "chalicelib.dynamodb",
    "chalicelib.dynamodb.aws_environment",
    "chalicelib.dynamodb.dynamodb_error",
    "chalicelib.dynamodb.client",
    "chalicelib.dynamodb.kept_connections",
    "chalicelib.dynamodb.http_response",
    "chalicelib.dynamodb.lean_client",
    "chalicelib.dynamodb.retries",
    "chalicelib.dynamodb.signature",
    "chalicelib.error_response",
    "chalicelib.errors",
    "chalicelib.identity",
    "chalicelib.access_key",
    "chalicelib.identity.access_keys",
    "chalicelib.identity.authenticator",
    "chalicelib.identity.token_claims",
    "chalicelib.identity.factory",
    "chalicelib.identity.issuer_keys",
    "chalicelib.identity.jwk_set",
    "chalicelib.identity.verified_tokens",
    "chalicelib.instant",
    "chalicelib.intake",
    "chalicelib.point_record",
    "chalicelib.principal",
    "chalicelib.record_id",
    "chalicelib.retry_window",
    "chalicelib.settings",
    "chalicelib.telemetry",
    "chalicelib.wall_clock",
    "chalicelib.web",
    "chalicelib.net",
    "chalicelib.operator_commands",
    "chalicelib.web.headers",
    "chalicelib.web.middleware",
    "chalicelib.web.request_checks",
    "chalicelib.web.json_response",
    "chalicelib.strict_json",
}
# Libraries that only other steps need, and modules that are not deployed at all. boto3 and botocore
# took more than half of a cold start (docs/decisions/0029).
NOT_INTAKE = {
    "authlib",
    "boto3",
    "botocore",
    "certifi",
    "chardet",
    "charset_normalizer",
    "jinja2",
    "jmespath",
    "joserfc",
    "local",
    "markupsafe",
    "odata_query",
    "pg8000",
    "psutil",
    "pycurl",
    "requests",
    "scramp",
    "sly",
    "urllib3",
}

# Each program prints one JSON line. To prove that an import reads no setting, the test sets invalid
# values, which ``Settings`` would reject.
IMPORT = """
import json, sys
connections = []
sys.addaudithook(
    lambda event, args: connections.append(str(args[1])) if event == "socket.connect" else None
)
import app
print(json.dumps({"connections": connections, "modules": sorted(sys.modules)}))
"""
POST = """
import json, sys
event = json.load(sys.stdin)
import app
response = app.app(event, None)
print(json.dumps({"status": response["statusCode"], "modules": sorted(sys.modules)}))
"""


def run(program: str, variables: dict[str, str], stdin: str = "") -> dict[str, Any]:
    """Run a program in a fresh interpreter with only these environment variables.

    As on AWS, there is no configuration of AWS in a home directory.
    """
    path = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=PROJECT,
        env=path | variables,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    # A thread may log a line meanwhile, as one that requests a token does.
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def own_modules(modules: list[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "chalicelib"}


@pytest.mark.parametrize("variables", [{}, {"CLOCK_SKEW_S": "x", "MAX_BODY_BYTES": "-1"}], ids=str)
def test_import_of_app_reads_no_setting_and_opens_no_connection(
    variables: dict[str, str],
) -> None:
    result = run(IMPORT, variables)
    assert result["connections"] == []
    assert own_modules(result["modules"]) <= INTAKE


def post(variables: dict[str, str], headers: Mapping[str, str] = OPERATOR) -> dict[str, Any]:
    """Post a punch in a fresh interpreter."""
    event = rest_event(
        "POST",
        "/point-record",
        body=json.dumps(PUNCH),
        headers={"Content-Type": "application/json", **headers},
    )
    return run(POST, variables, stdin=json.dumps(event))


def test_post_loads_only_the_modules_of_intake(dynamodb_url: str, table: str) -> None:
    variables = environment(dynamodb=dynamodb_url, table=table, postgres="unused", legacy="unused")
    result = post(variables)
    assert result["status"] == 201
    assert own_modules(result["modules"]) == INTAKE
    assert {name.partition(".")[0] for name in result["modules"]} & NOT_INTAKE == set()


def test_post_with_keys_from_their_table_loads_no_client_of_the_issuer(
    dynamodb_url: str, table: str, key_table: str, issuer: Issuer
) -> None:
    variables = environment(dynamodb=dynamodb_url, table=table, postgres="unused", legacy="unused")
    variables |= issuer.environment
    result = post(variables, issuer.authorization())
    assert result["status"] == 201  # the issuer was asked: the stage has no table of its keys
    asked = own_modules(result["modules"]) - INTAKE
    assert asked == {"chalicelib.identity.jwks_fetch", "chalicelib.bounded_call"}

    variables |= {"JWKS_TABLE": key_table}
    with wired(variables):
        schedules.store_keys()
    result = post(variables, issuer.authorization())
    assert result["status"] == 200
    assert own_modules(result["modules"]) - INTAKE == {
        "chalicelib.identity.key_table",
        "chalicelib.bounded_call",
    }
    assert {name.partition(".")[0] for name in result["modules"]} & NOT_INTAKE == set()


@pytest.mark.parametrize("library", ["pycurl", "requests", "authlib"])
def test_only_the_integrator_imports_a_client_of_http(library: str) -> None:
    imports = re.compile(rf"^\s*(?:import|from)\s+{library}\b", re.MULTILINE)
    sources = [PROJECT / "app.py", *(PROJECT / "chalicelib").rglob("*.py")]
    users = [each.relative_to(PROJECT) for each in sources if imports.search(each.read_text())]
    assert users
    assert {each.parts[:2] for each in users} == {("chalicelib", "integrator")}


def test_post_imports_boto3_where_the_environment_is_not_enough(
    dynamodb_url: str, table: str
) -> None:
    variables = environment(dynamodb=dynamodb_url, table=table, postgres="unused", legacy="unused")
    result = post(variables | {"AWS_USE_DUALSTACK_ENDPOINT": "false"})
    assert result["status"] == 201
    assert own_modules(result["modules"]) - INTAKE == {"chalicelib.dynamodb.boto_client"}
    assert "boto3" in result["modules"]


INTEGRATE = """
import json, sys
import app
from chalicelib import integrator_wiring
integrator_wiring.integrator_run()
# One write: print ends its line by another one, and a thread may log in between.
sys.stdout.write(json.dumps({"modules": sorted(sys.modules)}) + "\\n")
"""
TEMPLATE = {"LEGACY_BODY": "[{{ employeeId }}]"}
CONDITION = {"LEGACY_DELIVERED": "status == `202`"}
BASIC = {"LEGACY_AUTH": "basic", "LEGACY_USER": "ann", "LEGACY_PASSWORD": "hush"}
OAUTH2 = {
    "LEGACY_AUTH": "oauth2",
    "LEGACY_TOKEN_URL": "https://issuer.invalid/token",
    "LEGACY_CLIENT_ID": "punch-clock",
    "LEGACY_CLIENT_SECRET": "hush",
}
LEGACY = "chalicelib.integrator.legacy."


@pytest.mark.parametrize(
    "changes",
    [{}, TEMPLATE, CONDITION, BASIC, OAUTH2],
    ids=["default", "body", "condition", "basic", "oauth2"],
)
def test_integrator_loads_what_a_setting_needs_only_if_it_is_set(
    changes: dict[str, str],
) -> None:
    url = "http://127.0.0.1:9/"
    variables = environment(
        dynamodb="", table="", postgres="postgresql://x@127.0.0.1:9/x", legacy=url
    )
    modules = set(run(INTEGRATE, variables | changes)["modules"])
    assert LEGACY + "legacy_client" in modules
    assert (
        ("jinja2" in modules)
        == (LEGACY + "messages.request_template" in modules)
        == (changes == TEMPLATE)
    )
    assert (
        ("jmespath" in modules)
        == (LEGACY + "messages.response_conditions" in modules)
        == (changes == CONDITION)
    )
    assert (
        ("requests" in modules)
        == ("authlib" in modules)
        == (LEGACY + "libcurl.curl_adapter" in modules)
        == (changes == OAUTH2)
    )
