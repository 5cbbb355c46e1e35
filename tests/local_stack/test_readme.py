"""The README's command lines do what the README says."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local_stack.running import RunningStack, wait_until

TOKEN = f"{sys.executable} -m local token"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = RunningStack(tmp_path_factory.mktemp("readme") / "data", "--tick", "0.2")
    yield running
    running.end(signal.SIGTERM)


def commands(stack: RunningStack) -> list[str]:
    """Return the curl lines of the README, to this stack in place of the usual one."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
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
        ["bash", "-c", f"{command} --silent --show-error --max-time 20"],  # as a reader types it
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return json.loads(done.stdout)


def test_a_punch_goes_from_curl_through_odata_to_the_legacy(stack: RunningStack) -> None:
    post, records, logs, report = commands(stack)
    posted = curl(post)
    assert posted["status"] == "AWAITING"
    wait_until(lambda: [each["status"] for each in curl(records)["value"]] == ["INTEGRATED"])
    (record,) = curl(records)["value"]
    assert record.keys() == {"id", "status", "integratedAt"}
    assert record["id"] == posted["id"]
    assert [each["status"] for each in curl(logs)["value"]] == ["AWAITING", "INTEGRATED"]
    assert curl(report)["accepted"] == 1
    assert curl(post)["id"] == posted["id"]


def test_a_shift_change_ends_with_nothing_lost_and_nothing_doubled(stack: RunningStack) -> None:
    done = stack.command("burst", "300", "--seconds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    calls, *_, lost, doubled = re.findall(r"│([^│]+)(?=│)", done.stdout)
    assert (int(calls), int(lost), int(doubled)) == (300, 0, 0)
    assert stack.command("status").returncode == 0


def test_replay_says_how_many_go_again_or_what_is_wrong_with_the_filter(
    stack: RunningStack,
) -> None:
    done = stack.command("replay", "--filter", "status eq 'REJECTED' and employerId eq 121")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "0 go again")
    refused = stack.command("replay", "--filter", "employer eq 121", "--by", "Ada")
    assert refused.returncode == 1
    assert "employer" in refused.stderr
