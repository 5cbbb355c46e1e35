"""What a fresh process loads and touches: every function imports ``app``; intake starts fast."""

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
    "chalicelib.settings",
    "chalicelib.telemetry",
    "chalicelib.web",
    "chalicelib.net",
    "chalicelib.web.headers",
    "chalicelib.web.middleware",
    "chalicelib.web.request",
    "chalicelib.web.response",
    "chalicelib.strict_json",
}
# What only other steps need, and what the deployed package has not at all.
NOT_INTAKE = {
    *("pg8000", "scramp", "sly", "odata_query", "pycurl"),
    *("requests", "chardet", "local", "psutil"),
}

# Each prints one JSON line. boto3 itself reads the environment when it is imported: what counts is
# what our modules read, so every variable of the settings is one that they would refuse.
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
answer = app.app(event, None)
print(json.dumps({"status": answer["statusCode"], "modules": sorted(sys.modules)}))
"""


def run(program: str, variables: dict[str, str], stdin: str = "") -> dict[str, Any]:
    """Run a program in a fresh interpreter that has these variables and no others."""
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
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def ours(modules: list[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "chalicelib"}


@pytest.mark.parametrize("variables", [{}, {"CLOCK_SKEW_S": "x", "MAX_BODY_BYTES": "-1"}], ids=str)
def test_importing_the_app_reads_no_setting_and_connects_to_nothing(
    variables: dict[str, str],
) -> None:
    told = run(IMPORT, variables)
    assert told["connections"] == []
    assert ours(told["modules"]) <= INTAKE


def test_a_post_loads_what_intake_needs_and_nothing_else(dynamodb_url: str, table: str) -> None:
    variables = environment(
        dynamodb=dynamodb_url, table=table, postgres="not looked at", legacy="not looked at"
    )
    event = rest_event(
        "POST",
        "/point-record",
        body=json.dumps(PUNCH),
        headers={"Content-Type": "application/json"},
    )
    told = run(POST, variables, stdin=json.dumps(event))
    assert told["status"] == 201
    assert ours(told["modules"]) == INTAKE
    assert {name.partition(".")[0] for name in told["modules"]} & NOT_INTAKE == set()


CHECK = """
import json, time
import app
from chalicelib import container
container.dynamodb()
started = time.process_time()
container.authenticator()
print(json.dumps({"ms": (time.process_time() - started) * 1000}))
"""
# CPU of this machine, at its best of a few: what is imported, and nothing that the machine does.
MOST_MS = 60


def test_knowing_who_asks_is_quickly_imported() -> None:
    variables = environment(dynamodb="", table="", postgres="", legacy="")
    variables["AWS_ENDPOINT_URL_DYNAMODB"] = "http://127.0.0.1:9"
    assert min(run(CHECK, variables)["ms"] for _ in range(3)) < MOST_MS
