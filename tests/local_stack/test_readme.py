"""The command lines of README.md and docs/odata.md work as documented."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_stack import RunningStack
from tests.support.waiting import wait_until

TOKEN = f"{sys.executable} -m local token"
PROJECT = Path(__file__).parents[2]


def blocks(document: str) -> list[str]:
    """Return the shell blocks of a document."""
    return re.findall(r"```sh\n(.*?)```", (PROJECT / document).read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = RunningStack(tmp_path_factory.mktemp("readme") / "data", "--tick", "0.2")
    yield running
    running.end(signal.SIGTERM)


def commands(stack: RunningStack) -> list[str]:
    """Return the curl lines of the README, with the URLs of this stack."""
    lines = "\n".join(blocks("README.md")).replace("\\\n", " ").splitlines()
    (token,) = (line for line in lines if line.startswith("TOKEN="))
    token = token.replace(".venv/bin/python -m local token", f"{TOKEN} --data {stack.data}")
    return [
        f"{token}; "
        + line.replace("http://127.0.0.1:8000", stack.url("api")).replace(
            "http://127.0.0.1:8090", stack.url("legacy")
        )
        for line in lines
        if line.startswith("curl ")
    ]


def curl(command: str) -> Any:
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{command} --silent --show-error --max-time 20",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return json.loads(done.stdout)


def test_readme_punch_is_visible_in_odata_and_reaches_the_legacy(
    stack: RunningStack,
) -> None:
    post, records, logs, report, *_ = commands(stack)
    posted = curl(post)
    assert posted["status"] == "AWAITING"
    wait_until(lambda: [each["status"] for each in curl(records)["value"]] == ["INTEGRATED"])
    (record,) = curl(records)["value"]
    assert record.keys() == {"id", "status", "integratedAt"}
    assert record["id"] == posted["id"]
    assert [each["status"] for each in curl(logs)["value"]] == ["AWAITING", "INTEGRATED"]
    assert curl(report)["accepted"] == 1
    assert curl(post)["id"] == posted["id"]


def test_legacy_settings_of_the_readme_apply_and_are_reset(stack: RunningStack) -> None:
    show, *changes = (each for each in commands(stack) if "/settings" in each)
    fresh = curl(show)
    changed = [curl(each) for each in changes]
    assert [each["workers"] for each in changed] == [5, 5, 50]
    assert [each["outage"] is None for each in changed] == [True, False, True]
    assert changed[-1] == curl(show) == fresh


def test_every_request_of_the_odata_document_succeeds(stack: RunningStack) -> None:
    assert stack.post(employeeId=2023, employerId=121).ok  # the punch of the README
    script = "\n".join(["set -e", *blocks("docs/odata.md")])
    script = script.replace(".venv/bin/python -m local token", f"{TOKEN} --data {stack.data}")
    script = script.replace("http://127.0.0.1:8000", stack.url("api"))
    script = script.replace("curl ", "curl --silent --show-error --fail-with-body --max-time 20 ")
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    requests = script.count("\nask ")
    assert requests == 8
    assert done.stdout.count('"@odata.context"') == requests - 1  # $count is plain text


def test_burst_ends_with_nothing_lost_and_nothing_duplicated(stack: RunningStack) -> None:
    done = stack.command("burst", "300", "--seconds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    calls, *_, lost, duplicated = re.findall(r"│([^│]+)(?=│)", done.stdout)
    assert (int(calls), int(lost), int(duplicated)) == (300, 0, 0)
    assert stack.command("status").returncode == 0


def test_replay_prints_the_number_of_records_or_the_error_of_the_filter(
    stack: RunningStack,
) -> None:
    done = stack.command("replay", "--filter", "status eq 'REJECTED' and employerId eq 121")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "Records returned to the queue: 0",
    )
    refused = stack.command("replay", "--filter", "employer eq 121")
    assert refused.returncode == 1
    assert "employer" in refused.stderr
