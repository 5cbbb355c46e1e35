"""``make run ARGS="--legacy PROFILE"`` feeds a SOAP server in another process."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from chalicelib.principal import Role
from local.tokens import make_token, read_key
from tests.support.running_stack import RunningStack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engines


@contextmanager
def soap_server(home: Path) -> Iterator[Path]:
    """Run the SOAP server as the README does; yield the file that has its output."""
    output = home / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.legacies", "soap", "--home", home], stdout=file
        )
    try:
        wait_until(lambda: "make run" in output.read_text())
        yield output
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_punch_reaches_a_soap_server_in_another_process(tmp_path: Path) -> None:
    with soap_server(tmp_path) as output:
        profile = tmp_path / "soap.env"
        assert str(profile) in output.read_text()
        stack = RunningStack(tmp_path / "data", "--tick", "0.2", "--legacy", str(profile))
        try:
            token = make_token(read_key(stack.data), Role.EMPLOYER, 121)
            headers = {"Authorization": f"Bearer {token}"}
            punch = {
                "employeeId": 2023,
                "employerId": 121,
                "includedAt": "2024-05-06T08:00:00-03:00",
            }
            posted = requests.post(
                stack.url("api", "/point-record"), json=punch, headers=headers, timeout=10
            )
            assert posted.status_code == 201
            record_id = posted.json()["id"]

            def statuses() -> list[str]:
                url = stack.url("api", "/odata/PointRecords?$select=id,status")
                values = requests.get(url, headers=headers, timeout=10).json()["value"]
                return [each["status"] for each in values if each["id"] == record_id]

            wait_until(lambda: statuses() == ["INTEGRATED"])
            arrived = f"2024-05-06T08:00:00-03:00  employee 2023  {record_id}\n"
            wait_until(lambda: arrived in output.read_text())

            burst = stack.command("burst", "100", "--seconds", "1")
            assert burst.returncode == 0, burst.stdout + burst.stderr
            wait_until(lambda: output.read_text().count("  employee ") == 101)
            # Nobody asked the legacy for the report of the simulated one.
            (database,) = tmp_path.glob("soap-*.db")
            connection = sqlite3.connect(database)
            assert connection.execute("SELECT DISTINCT method FROM request").fetchall() == [
                ("POST",)
            ]
            connection.close()
        finally:
            stack.end(signal.SIGTERM)
