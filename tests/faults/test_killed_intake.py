"""The server of the routes is killed in a burst: every acknowledged punch is in the buffer."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from local.child_process import ChildProcess
from local.loopback import HOST, free_port
from local.services import start_api
from tests.support.record_counts import ROUNDS, buffered_ids
from tests.support.service import PUNCH, punch
from tests.support.tokens import OPERATOR

HEADERS = {"Content-Type": "application/json", **OPERATOR}

PHONES = 8
PUNCHES = 60


class Server:
    """The local server, which can be killed and restarted on the same port."""

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        self._home = home
        self._variables = variables
        self.port = free_port()
        self._child = self._start()

    def _start(self) -> ChildProcess:
        child, _ = start_api(self._home, self.port, self._variables)
        return child

    def kill_and_restart(self) -> None:
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.stop()  # cleans up after the killed process
        self._child = self._start()

    def stop(self) -> None:
        self._child.stop()


@pytest.fixture
def server(variables: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, variables)
    yield server
    server.stop()


class Phone:
    """Posts its punches in sequence, and retries each until it is acknowledged."""

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._number = number
        self.acknowledged: list[str] = []

    def post_all(self, posted: threading.Semaphore) -> None:
        for each in range(PUNCHES):
            body = json.dumps(punch(self._number * PUNCHES + each + 1)).encode()
            while (response := self._post(body)) is None:
                pass
            status, record = response
            assert status in (200, 201)
            self.acknowledged.append(record["id"])
            posted.release()

    def _post(self, body: bytes) -> tuple[int, Any] | None:
        connection = HTTPConnection(HOST, self._port, timeout=10)
        try:
            connection.request("POST", "/point-record", body, HEADERS)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, HTTPException, ValueError):
            return None  # the server was killed before it responded
        finally:
            connection.close()


@pytest.mark.timeout(120 + 5 * ROUNDS)
def test_every_punch_that_a_killed_server_acknowledged_is_stored_once(
    server: Server, dynamodb: Any, table: str
) -> None:
    phones = [Phone(server.port, number) for number in range(PHONES)]
    posted = threading.Semaphore(0)
    kills = max(2, ROUNDS // 3)
    with ThreadPoolExecutor(PHONES) as pool:
        bursts = [pool.submit(phone.post_all, posted) for phone in phones]
        for _ in range(kills):
            for _ in range(PHONES * PUNCHES // (kills + 1)):
                assert posted.acquire(timeout=30)
            server.kill_and_restart()
        for burst in bursts:
            burst.result()
    acknowledged = [record_id for phone in phones for record_id in phone.acknowledged]
    assert len(set(acknowledged)) == len(acknowledged) == PHONES * PUNCHES
    assert buffered_ids(dynamodb, table) == set(acknowledged)


def test_one_of_fifty_concurrent_identical_requests_creates_the_record(
    server: Server, dynamodb: Any, table: str
) -> None:
    barrier = threading.Barrier(50)

    def post(_: int) -> int:
        connection = HTTPConnection(HOST, server.port, timeout=20)
        connection.connect()
        barrier.wait()
        connection.request("POST", "/point-record", json.dumps(PUNCH), HEADERS)
        status = connection.getresponse().status
        connection.close()
        return status

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(post, range(50)))
    assert sorted(statuses) == [200] * 49 + [201]
    assert len(buffered_ids(dynamodb, table)) == 1
