"""Cold start: every function imports ``app``, so ``app`` may load only what intake needs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.lambda_events import rest_event
from tests.support.service import PUNCH, environment

PROJECT = Path(__file__).resolve().parents[2]

INTAKE = {
    "chalicelib",
    "chalicelib.aws",
    "chalicelib.buffer",
    "chalicelib.container",
    "chalicelib.content_coding",
    "chalicelib.error_response",
    "chalicelib.errors",
    "chalicelib.identity",
    "chalicelib.identity.authenticator",
    "chalicelib.identity.token_claims",
    "chalicelib.identity.factory",
    "chalicelib.identity.jwks",
    "chalicelib.instant",
    "chalicelib.intake",
    "chalicelib.point_record",
    "chalicelib.principal",
    "chalicelib.retry_window",
    "chalicelib.settings",
    "chalicelib.telemetry",
    "chalicelib.web",
    "chalicelib.net",
    "chalicelib.web.headers",
    "chalicelib.web.middleware",
    "chalicelib.web.request_checks",
    "chalicelib.web.json_response",
    "chalicelib.strict_json",
}
# Libraries that only other steps need, and modules that are not deployed at all.
NOT_INTAKE = {
    *("pg8000", "scramp", "sly", "odata_query", "pycurl"),
    *("jinja2", "markupsafe", "requests", "chardet", "local", "psutil"),
}

# Each program prints one JSON line. To prove that an import reads no setting, the test sets invalid
# values, which ``Settings`` would reject. The import of boto3 reads variables of its own.
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
    """Run a program in a fresh interpreter with only these environment variables."""
    path = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
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
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
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


def test_post_loads_only_the_modules_of_intake(dynamodb_url: str, table: str) -> None:
    variables = environment(dynamodb=dynamodb_url, table=table, postgres="unused", legacy="unused")
    event = rest_event(
        "POST",
        "/point-record",
        body=json.dumps(PUNCH),
        headers={"Content-Type": "application/json"},
    )
    result = run(POST, variables, stdin=json.dumps(event))
    assert result["status"] == 201
    assert own_modules(result["modules"]) == INTAKE
    assert {name.partition(".")[0] for name in result["modules"]} & NOT_INTAKE == set()


INTEGRATE = """
import json, sys
import app
from chalicelib import container
container.integrator_run()
print(json.dumps({"modules": sorted(sys.modules)}))
"""
TEMPLATE = {"LEGACY_BODY": "[{{ employeeId }}]"}
CONDITION = {"LEGACY_DELIVERED": "status == `202`"}
LEGACY = "chalicelib.integrator.legacy."


@pytest.mark.parametrize("changes", [{}, TEMPLATE, CONDITION], ids=["default", "body", "condition"])
def test_integrator_loads_templates_and_conditions_only_if_they_are_set(
    changes: dict[str, str],
) -> None:
    url = "http://127.0.0.1:9/"
    variables = environment(
        dynamodb="", table="", postgres="postgresql://x@127.0.0.1:9/x", legacy=url
    )
    modules = set(run(INTEGRATE, variables | changes)["modules"])
    assert "chalicelib.integrator.legacy_client" in modules
    assert (
        ("jinja2" in modules) == (LEGACY + "request_template" in modules) == (changes == TEMPLATE)
    )
    # The library of conditions is loaded in any case: boto3 uses it, too.
    assert (LEGACY + "response_conditions" in modules) == (changes == CONDITION)


CHECK = """
import json, time
import app
from chalicelib import container
container.dynamodb()
started = time.process_time()
container.authenticator()
print(json.dumps({"ms": (time.process_time() - started) * 1000}))
"""
# CPU time, the best of three runs, so that other load on the machine does not count.
MAX_MS = 60


@pytest.mark.slow
def test_authenticator_is_built_in_little_cpu_time() -> None:
    variables = environment(dynamodb="", table="", postgres="", legacy="")
    variables["AWS_ENDPOINT_URL_DYNAMODB"] = "http://127.0.0.1:9"
    assert min(run(CHECK, variables)["ms"] for _ in range(3)) < MAX_MS
