"""The queue of ``clients/javascript``: on Node, and in a real browser against a running service."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from chalicelib.instant import read_instant
from local.node import install
from local.services import start_api
from tests.clients.conftest import JAVASCRIPT, Stack
from tests.support.tokens import OPERATOR

HERE = Path(__file__).parent
EMPLOYER = 4711  # of all punches of the browser


def run_node_tests(script: str, variables: Mapping[str, str], seconds: float) -> None:
    """Run the tests of a script with Node's test runner, and require that all pass."""
    node, modules = install(HERE, "clients")
    process = subprocess.run(
        [node, "--test", HERE / script],
        env={**os.environ, "NODE_PATH": str(modules), **variables},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "\n# fail 0\n" in process.stdout
    assert "\n# skipped 0\n" in process.stdout


def test_queue_acts_on_each_answer_as_the_contract_says() -> None:
    run_node_tests("punch_queue.test.mjs", {}, 110)


@pytest.mark.browser
def test_browser_loses_and_doubles_no_punch(stack: Stack, page_origin: str, tmp_path: Path) -> None:
    # For this service an hour has passed.
    lenient, lenient_url = start_api(tmp_path, 0, stack.variables | {"CLOCK_SKEW_S": "7200"})
    expected = tmp_path / "expected.json"
    try:
        run_node_tests(
            "punch_queue_in_browser.test.cjs",
            {
                "PAGE": page_origin,
                "API": stack.url,
                "LENIENT_API": lenient_url,
                "TOKEN": OPERATOR["Authorization"].removeprefix("Bearer "),
                "EXPECTED": str(expected),
            },
            110,
        )
    finally:
        lenient.stop()
    stack.replicate()
    punches = json.loads(expected.read_text())
    assert len(punches) > 60
    assert Counter(map(_identity, _stored(stack))) == Counter(map(_identity, punches))


def _identity(punch: Mapping[str, object]) -> tuple[object, ...]:
    return punch["employerId"], punch["employeeId"], read_instant(punch["includedAt"])


def _stored(stack: Stack) -> list[dict[str, object]]:
    """Return all punches of the browser in Postgres, page by page."""
    url = f"{stack.root}/PointRecords?$filter=employerId eq {EMPLOYER}"
    records: list[dict[str, object]] = []
    while url:
        page = requests.get(url, headers=OPERATOR, timeout=10).json()
        records += page["value"]
        url = page.get("@odata.nextLink", "")
    return records


def test_queue_has_no_dependency_and_is_short() -> None:
    files = [*JAVASCRIPT.glob("*.js")]
    assert "dependencies" not in json.loads((JAVASCRIPT / "package.json").read_text())
    assert len(files) == 3
    for each in files:
        lines = each.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 200
        assert max(map(len, lines)) <= 120
