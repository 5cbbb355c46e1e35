"""o.js (npm package odata), unmodified: ``o_client.js`` uses it on Node and prints the results."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.node import install
from tests.clients.conftest import PAGE, RECORDS, Stack
from tests.support.tokens import OPERATOR

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def results(stack: Stack) -> dict[str, Any]:
    """Run the script; return its results by name."""
    node, modules = install(HERE, "clients")
    process = subprocess.run(
        [node, HERE / "o_client.js", f"{stack.root}/", stack.ids[3], OPERATOR["Authorization"]],
        env={"NODE_PATH": str(modules), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    output: dict[str, Any] = json.loads(process.stdout)
    return output


def test_o_js_reads_filters_and_expands(results: dict[str, Any], stack: Stack) -> None:
    assert results["entity"]["id"] == stack.ids[3]
    assert [each["employeeId"] for each in results["filtered"]] == [11, 9, 7]
    assert [each["status"] for each in results["expanded"]["logs"]] == ["AWAITING"]


def test_o_js_follows_next_links(results: dict[str, Any]) -> None:
    assert results["pages"] == [PAGE, PAGE, RECORDS - 2 * PAGE]


def test_o_js_counts(results: dict[str, Any]) -> None:
    assert results["count"] == RECORDS


def test_o_js_creates_and_reads_the_error_of_an_invalid_record(results: dict[str, Any]) -> None:
    assert results["created"]["employeeId"] == 3001
    assert results["rejection"]["status"] == 400
    assert results["rejection"]["error"]["target"] == "employeeId"


def test_o_js_sends_batches_and_change_sets(results: dict[str, Any]) -> None:
    first, second = results["batch"]
    assert (first["status"], first["body"]["employeeId"]) == (200, 3)
    assert (second["status"], len(second["body"])) == (200, 2)
    created = [(each["status"], each["body"]["employeeId"]) for each in results["changes"]]
    assert created == [(201, 3002), (201, 3003)]
