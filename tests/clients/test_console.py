"""The web console in a real browser, against a running service in an outage of its legacy."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.principal import Role
from local.child_process import PROJECT, ServerProcess
from local.dynamodb import server as dynamodb_server
from local.node import install
from local.postgres import Postgres
from local.services import launch_api, start_scheduler
from local.tokens import make_token
from tests.clients.test_punch_queue import run_node_tests
from tests.conftest import SimulatedLegacy, connect, create_database
from tests.support.service import environment, punch
from tests.support.sign_in_issuer import SignInIssuer
from tests.support.tokens import KEY, OPERATOR
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
FILES = PROJECT / "chalicelib/console/files"
EMPLOYER, OTHER = 121, 122
DELIVERABLE, LATER = 120, 40
PUBLIC = {"PUBLIC_URL": "https://punch.example.com/clock"}  # not where the page is opened
JUNK = {"employeeId": "7a", "employerId": EMPLOYER, "includedAt": "2026-11-22T08:00:00-03:00"}


class Stack:
    """A service with schedules, and a legacy that refuses some records and is then away.

    Attributes:
        url: the URL of the API, and ``sign_in_url`` that of one on which people sign in at the
            ``issuer``.
        posted: the employer of each punch.
    """

    def __init__(
        self,
        url: str,
        sign_in_url: str,
        database_url: str,
        legacy: SimulatedLegacy,
        issuer: SignInIssuer,
    ) -> None:
        self.url, self.sign_in_url = url, sign_in_url
        self.legacy, self.issuer = legacy, issuer
        self.posted: list[int] = []
        self._database = connect(database_url)

    def close(self) -> None:
        self._database.close()

    def post(self, first: int, count: int) -> None:
        """Post the punches of so many employees, of two employers in turn."""
        for start in range(first, first + count, 100):
            bodies = [
                punch(each, employerId=(EMPLOYER, OTHER)[each % 2])
                for each in range(start, min(start + 100, first + count))
            ]
            response = requests.post(
                f"{self.url}/point-record", json=bodies, headers=OPERATOR, timeout=30
            )
            assert [item["status"] for item in response.json()] == [201] * len(bodies)
            self.posted += [each["employerId"] for each in bodies]

    def settle(self) -> None:
        """Wait until each record is delivered or parked.

        A refusal counts once a later call has delivered its record, so a few more are posted.
        """

        def is_settled() -> bool:
            statuses = self.statuses()
            if sum(map(statuses.get, ("INTEGRATED", "REJECTED"), (0, 0))) == len(self.posted):
                return True
            if statuses.get("ERROR"):
                self.post(5_000 + len(self.posted), 2)
                time.sleep(0.5)
            return False

        wait_until(is_settled, 40)

    def statuses(self) -> dict[str, int]:
        return dict(self._rows("SELECT status, count(*) FROM point_record GROUP BY status"))

    def quarantined(self) -> int:
        [(number,)] = self._rows("SELECT count(*) FROM quarantine")
        return number

    def parked(self, employer_id: int) -> int:
        [(number,)] = self._rows(
            "SELECT count(*) FROM point_record WHERE status = 'REJECTED' AND employer_id ="
            f" {employer_id}"
        )
        return number

    def failed_calls(self) -> int:
        [(number,)] = self._rows("SELECT coalesce(sum(failed), 0) FROM integration_run")
        return number

    def _rows(self, statement: str) -> list[Any]:
        with self._database.transaction() as connection:
            return [tuple(row) for row in connection.run(statement)]


def _stop(server: ServerProcess) -> None:
    server.child.stop()


@pytest.fixture
def stack(
    postgres_server: Postgres,
    dynamodb_url: str,
    dynamodb: Any,
    legacy: SimulatedLegacy,
    tmp_path: Path,
) -> Iterator[Stack]:
    database_url = create_database(postgres_server, "console")
    dynamodb_server.create_table(dynamodb, "console")
    variables = environment(
        dynamodb=dynamodb_url, table="console", postgres=database_url, legacy=legacy.url
    ) | {
        "MAX_ATTEMPTS": "1",
        "RETRY_BASE_S": "0.2",
        "RETRY_MAX_S": "1",
        "RUN_LEASE_S": "5",
        "ACCEPTED_LOG": f"file:{tmp_path / 'log/api.log'}",
    }
    with ExitStack() as running:
        issuer = running.enter_context(SignInIssuer().running())
        apis = [
            launch_api(tmp_path, 0, variables),
            launch_api(tmp_path / "2", 0, variables | issuer.environment | PUBLIC),
        ]
        for api in apis:
            running.callback(_stop, api)
        for schedule in ("replicate", "integrate"):
            running.callback(start_scheduler(tmp_path, schedule, 0.5, variables).stop)
        for api in apis:
            api.wait_ready()
        stack = Stack(apis[0].url, apis[1].url, database_url, legacy, issuer)
        running.callback(stack.close)
        legacy.set(refused_share=0.1, latency_ms=5)
        dynamodb.put_item(
            TableName="console",
            Item={"id": {"S": "gate 7"}, "record": {"S": json.dumps(JUNK)}},
        )
        stack.post(1, DELIVERABLE)
        stack.settle()
        legacy.set(outage={"fault": "503"})
        failed = stack.failed_calls()
        stack.post(1_000, LATER)
        wait_until(lambda: stack.failed_calls() > failed + 3, 30)
        yield stack
    dynamodb.delete_table(TableName="console")


@pytest.mark.browser
@pytest.mark.timeout(300)  # some 50 s on two busy cores
def test_operator_and_employer_work_in_a_browser(stack: Stack, tmp_path: Path) -> None:
    statuses = stack.statuses()
    expected = {
        "delivered": statuses["INTEGRATED"],
        "parked": statuses["REJECTED"],
        "parkedOfEmployer": stack.parked(EMPLOYER),
        "unfinished": LATER,
        "quarantined": stack.quarantined(),
        "accepted": len(stack.posted),
        "ofEmployer": stack.posted.count(EMPLOYER),
    }
    assert expected["parkedOfEmployer"] > 0
    assert expected["quarantined"] == 1
    run_node_tests(
        "console_in_browser.test.cjs",
        {
            "API": stack.url,
            "SIGN_IN_API": stack.sign_in_url,
            "LEGACY": stack.legacy.base_url,
            "OPERATOR": OPERATOR["Authorization"].removeprefix("Bearer "),
            "EMPLOYER": make_token(KEY, Role.EMPLOYER, EMPLOYER, subject="bob"),
            "EXPIRED": make_token(KEY, Role.INTEGRATION, lasts_s=-60),
            "EXPECTED": json.dumps(expected),
        },
        220,
    )
    assert stack.issuer.grants[0] == "authorization_code"
    assert "refresh_token" in stack.issuer.grants
    finished = stack.statuses()
    assert finished["REJECTED"] == expected["parked"] - expected["parkedOfEmployer"]
    assert finished["INTEGRATED"] == sum(finished.values()) - finished["REJECTED"]
    assert len(set(stack.legacy.accepted_ids())) == finished["INTEGRATED"]
    assert stack.quarantined() == 0


def test_uplot_is_the_file_of_the_npm_package() -> None:
    _, modules = install(HERE, "clients")
    package = modules / "uplot"
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        assert (FILES / name).read_bytes() == (package / "dist" / name).read_bytes()
    assert (FILES / "uPlot.LICENSE.txt").read_bytes() == (package / "LICENSE").read_bytes()
    pinned = json.loads((HERE / "package.json").read_text())["dependencies"]["uplot"]
    assert f"v{pinned})" in (FILES / "uPlot.iife.min.js").read_text(encoding="utf-8")[:200]


def test_functions_of_the_console_that_need_no_browser(tmp_path: Path) -> None:
    node, _ = install(HERE, "clients")
    files = tmp_path / "console"
    shutil.copytree(FILES, files)
    (files / "package.json").write_text('{"type": "module"}')  # for Node.js, which has no server
    process = subprocess.run(
        [node, "--test", HERE / "console.test.mjs"],
        env={**os.environ, "FILES": str(files)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stdout + process.stderr
