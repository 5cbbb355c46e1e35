"""A stack starts, stops without leaving a process, and keeps its data after a ``kill -9``."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.postgres.connection import Database
from chalicelib.postgres.migrate import migrate
from local import postgres
from local.stack_file import TABLE, read_stack
from tests.conftest import SimulatedLegacy
from tests.support.running_stack import RunningStack, alive, local
from tests.support.waiting import wait_until


def test_sigterm_settles_the_calls_in_flight_and_leaves_no_process(tmp_path: Path) -> None:
    stack = RunningStack(tmp_path / "data", "--tick", "0.1")
    slow = {"latency_ms": 1_000, "sigma": 0}
    requests.put(stack.url("legacy", "/settings"), json=slow, timeout=10).raise_for_status()
    for employee_id in range(1, 6):
        stack.post(employeeId=employee_id)
    report = stack.url("legacy", "/report")
    wait_until(lambda: requests.get(report, timeout=10).json()["in_flight"])
    processes = stack.processes()
    assert len(processes) > 6

    assert stack.end(signal.SIGTERM) == 0

    assert not alive(processes)
    assert not (stack.data / "stack.json").exists()
    assert not list((stack.data / "run").iterdir())
    last_run = json.loads((stack.data / "log" / "integrate.log").read_text().splitlines()[-1])
    assert last_run["sent"] > 0
    assert last_run["sent"] == last_run["delivered"]
    assert "was killed" not in stack.output()


def test_external_dynamodb_endpoint_and_legacy_are_used(
    tmp_path: Path,
    dynamodb_url: str,
    dynamodb: Any,
    legacy: SimulatedLegacy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "external")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "external")
    stack = RunningStack(tmp_path / "data", "--tick", "0.1", "--legacy", legacy.url)
    try:
        described = stack.described()
        assert described["dynamodb"] == dynamodb_url
        assert described["legacy"] == legacy.url
        assert not {"dynamodb", "legacy"} & described["pids"].keys()
        record_id = stack.post().json()["id"]
        wait_until(lambda: legacy.accepted_ids() == [record_id])
        assert stack.command("status").returncode == 0
    finally:
        stack.end(signal.SIGTERM)
        dynamodb.delete_table(TableName=TABLE)


def test_sigterm_during_the_start_leaves_no_process(tmp_path: Path) -> None:
    stack = RunningStack(tmp_path / "data", until="PostgreSQL: ready")
    processes = stack.processes()
    assert len(processes) > 1
    assert stack.end(signal.SIGTERM) == 0
    assert not alive(processes)
    assert not list((stack.data / "run").iterdir())


def test_start_and_stop_on_a_terminal_that_lacks_their_characters(tmp_path: Path) -> None:
    environment = {"PYTHONIOENCODING": "latin-1", "FORCE_COLOR": "1"}
    stack = RunningStack(tmp_path / "data", until=r"\u2713", environment=environment)
    assert stack.end(signal.SIGTERM) == 0
    assert r"Stopping \u2026" in stack.output()


def test_changed_migration_is_reported_with_a_remedy(tmp_path: Path) -> None:
    server = postgres.start(tmp_path)
    database = Database(server.url(), pool=1, connect_timeout_s=5, statement_timeout_s=30)
    migrate(database)
    with database.transaction() as connection:
        connection.run("UPDATE schema_migration SET checksum = 'another'")
    database.close()
    server.child.stop()

    done = local("up", "--data", str(tmp_path))

    assert done.returncode == 1
    assert (
        f"has changed since it was applied. To start again without the data, remove {tmp_path}"
        in (done.stdout)
    )


def test_kill_9_leaves_no_process_and_loses_no_record(tmp_path: Path) -> None:
    stack = RunningStack(tmp_path / "data", "--tick", "0")
    replicated = stack.post(employeeId=1).json()["id"]
    assert stack.command("tick", "replicate").returncode == 0
    buffered = stack.post(employeeId=2).json()["id"]
    processes = stack.processes()

    stack.end(signal.SIGKILL)
    if sys.platform == "linux":  # on other systems the next start ends them
        wait_until(lambda: not alive(processes))

    again = RunningStack(stack.data, "--tick", "0")
    try:
        assert not alive(processes)
        assert again.get(replicated).json()["replicatedAt"]
        assert not again.get(buffered).json()["replicatedAt"]
    finally:
        again.end(signal.SIGHUP)


def test_stack_whose_output_nobody_reads_restarts_what_dies(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "local", "up", "--data", str(data), "--tick", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout
        wait_until((data / "stack.json").exists, 90)
        process.stdout.close()
        before = read_stack(data)["pids"]
        os.kill(before["legacy"], signal.SIGKILL)
        wait_until(lambda: read_stack(data)["pids"]["legacy"] != before["legacy"])
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    assert status == 0


def test_stack_under_nohup_outlives_a_hang_up(tmp_path: Path) -> None:
    stack = RunningStack(tmp_path / "data", "--tick", "0", under=["nohup"])
    try:
        (supervisor, *_) = stack.processes()
        supervisor.send_signal(signal.SIGHUP)
        assert stack.command("status").returncode == 0
    finally:
        status = stack.end(signal.SIGTERM)
    assert status == 0
