"""``chalice local`` uses the stack of its own checkout without further configuration."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local.child_process import PROJECT
from local.dynamodb import server
from local.loopback import HOST, free_port
from tests.support.running_stack import PUNCH, RunningStack
from tests.support.waiting import wait_until

DYNAMODB_KEYS = {name: value for name, value in server.CREDENTIALS.items() if "KEY" in name}
CHALICE = Path(sys.executable).parent / "chalice"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    """Run the stack of a copied checkout, on its own ports."""
    for name in ("app.py", "requirements.txt"):
        shutil.copy(PROJECT / name, tmp_path)
    for name in ("chalicelib", ".chalice"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    running = RunningStack(tmp_path / ".local", "--tick", "0")
    yield running
    running.end(signal.SIGTERM)


@pytest.fixture
def served(stack: RunningStack) -> Iterator[str]:
    """Run ``chalice local`` in the copied checkout and return its URL."""
    port = free_port()
    with (stack.data / "chalice.log").open("wb") as log:
        process = subprocess.Popen(
            [CHALICE, "local", "--port", str(port), "--no-autoreload"],
            cwd=stack.data.parent,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://{HOST}:{port}"
    try:
        wait_until(lambda: process.poll() is not None or is_up(url))
        yield url
    finally:
        process.terminate()
        process.wait(10)


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=10).ok
    except requests.ConnectionError:
        return False


def test_chalice_local_uses_the_stack_of_its_checkout(stack: RunningStack, served: str) -> None:
    url = f"{served}/point-record"
    accepted = requests.post(url, json=PUNCH, headers=stack.operator, timeout=10)
    assert accepted.status_code == 201, accepted.text
    assert stack.get(accepted.json()["id"]).json() == accepted.json()
    health = requests.get(f"{served}/health", headers=stack.operator, timeout=10).json()
    assert (health["status"], health["buffer"]["waiting"]) == ("ok", 1)


def test_chalice_local_without_a_stack_responds_503(stack: RunningStack, served: str) -> None:
    (stack.data / "stack.json").unlink()
    (stack.data / "aws.config").unlink()
    for response in (
        requests.post(f"{served}/point-record", json=PUNCH, headers=stack.operator, timeout=10),
        requests.get(f"{served}/odata/PointRecords", headers=stack.operator, timeout=10),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (503, "Misconfigured")


def test_stages_have_no_url_and_only_the_known_keys() -> None:
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    stages = [each["environment_variables"] for each in config["stages"].values()]
    assert not [value for stage in stages for value in stage.values() if "://" in value]
    keys = {name: value for stage in stages for name, value in stage.items() if "KEY" in name}
    assert keys == {"JWT_KEY": "file:.local/jwt.key", **DYNAMODB_KEYS}
