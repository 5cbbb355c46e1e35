"""The service keeps its OpenAPI document, and a client that is generated from it works."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from chalicelib.openapi.document import document
from chalicelib.settings import Settings
from local.child_process import PROJECT
from tests.clients.conftest import Stack
from tests.support.service import PUNCH
from tests.support.tokens import OPERATOR

# CI sends the same requests each time; ``make soak`` sends many that are drawn at random.
_EXAMPLES = os.environ.get("OPENAPI_EXAMPLES")

# No answer outside the document. Whether data must be accepted depends on more than its schema: the
# time of a punch, and, in an array, the other items.
_CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
]
_SCHEMA = schemathesis.openapi.from_dict(document(Settings()))
# TRACE and unknown methods never reach a route.
_SCHEMA.config.phases.coverage.unexpected_methods = {"DELETE", "PATCH", "PUT"}


@_SCHEMA.parametrize()
@settings(
    max_examples=int(_EXAMPLES or 15),
    derandomize=_EXAMPLES is None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_outside_the_document(case: Any, empty_stack: Stack) -> None:
    case.call_and_validate(
        base_url=empty_stack.url,
        headers=OPERATOR,
        checks=[CHECKS.get_one(name) for name in _CHECKS],
    )


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the package of a client that was generated from docs/openapi.json."""
    home: Path = tmp_path_factory.mktemp("generated")
    (home / "config.yaml").write_text("post_hooks: []\n")
    command = ["generate", "--path", PROJECT / "docs/openapi.json", "--meta", "none"]
    command += ["--output-path", home / "punch_client", "--config", home / "config.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout.lower(), done.stdout
    sys.path.insert(0, str(home))
    return "punch_client"


def test_generated_client_posts_a_punch_and_reads_its_record(
    generated: str, empty_stack: Stack
) -> None:
    def module(name: str) -> Any:
        return importlib.import_module(f"{generated}.{name}")

    token = OPERATOR["Authorization"].removeprefix("Bearer ")
    client = module("client").AuthenticatedClient(base_url=empty_stack.url, token=token)
    punch = module("models").Punch.from_dict(PUNCH | {"employeeId": 901})

    created = module("api.punches.post_punch").sync_detailed(client=client, body=punch)
    assert created.status_code == 201
    assert created.parsed.employee_id == 901
    assert created.headers["Location"] == f"{empty_stack.url}/point-record/{created.parsed.id}"
    again = module("api.punches.post_punch").sync(client=client, body=[punch])
    assert [each.status for each in again] == [200]
    record = module("api.punches.get_record").sync(client=client, id=created.parsed.id)
    assert record.included_at == created.parsed.included_at
    assert module("api.health.get_health").sync(client=client).status in ("ok", "degraded")
    refused = module("client").AuthenticatedClient(base_url=empty_stack.url, token="x.y.z")
    error = module("api.punches.post_punch").sync(client=refused, body=punch)
    assert error.error.code == "Unauthenticated"
    client.get_httpx_client().close()
    refused.get_httpx_client().close()


def test_document_of_the_service_is_at_its_url(empty_stack: Stack) -> None:
    published = requests.get(f"{empty_stack.url}/openapi.json", timeout=10)
    assert published.json()["servers"] == [
        {"url": "./", "description": "Where this document comes from."}
    ]
