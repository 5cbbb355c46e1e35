"""o.js (npm: odata), unmodified, on Node: what comes of what ``o_client.js`` does with it."""

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
    """What each of the script's doings has come to."""
    node, modules = install(HERE, "clients")
    done = subprocess.run(
        [node, HERE / "o_client.js", f"{stack.root}/", stack.ids[3], OPERATOR["Authorization"]],
        env={"NODE_PATH": str(modules), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_queries(results: dict[str, Any], stack: Stack) -> None:
    assert results["entity"]["id"] == stack.ids[3]
    assert [each["employeeId"] for each in results["filtered"]] == [11, 9, 7]
    assert [each["status"] for each in results["expanded"]["logs"]] == ["AWAITING"]


def test_it_follows_the_links_to_further_pages(results: dict[str, Any]) -> None:
    assert results["pages"] == [PAGE, PAGE, RECORDS - 2 * PAGE]


def test_it_counts(results: dict[str, Any]) -> None:
    assert results["count"] == RECORDS


def test_it_creates_and_is_told_what_is_wrong(results: dict[str, Any]) -> None:
    assert results["created"]["employeeId"] == 3001
    assert results["refused"]["status"] == 400
    assert results["refused"]["error"]["target"] == "employeeId"


def test_it_sends_batches(results: dict[str, Any]) -> None:
    first, second = results["batch"]
    assert (first["status"], first["body"]["employeeId"]) == (200, 3)
    assert (second["status"], len(second["body"])) == (200, 2)
    created = [(each["status"], each["body"]["employeeId"]) for each in results["changes"]]
    assert created == [(201, 3002), (201, 3003)]
