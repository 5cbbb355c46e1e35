"""The server of the routes killed in mid-burst: whatever it has acknowledged is in the buffer."""

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
    """The server, to be killed and started again on its port."""

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        self._home = home
        self._variables = variables
        self.port = free_port()
        self._child = self._start()

    def _start(self) -> ChildProcess:
        child, _ = start_api(self._home, self.port, self._variables)
        return child

    def kill_and_start(self) -> None:
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.stop()  # of a process that is gone, only the rest
        self._child = self._start()

    def stop(self) -> None:
        self._child.stop()


@pytest.fixture
def server(variables: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, variables)
    yield server
    server.stop()


class Phone:
    """Posts its punches one after the other, each again and again until it is acknowledged."""

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._number = number
        self.acknowledged: list[str] = []

    def post_all(self, posted: threading.Semaphore) -> None:
        for each in range(PUNCHES):
            body = json.dumps(punch(self._number * PUNCHES + each + 1)).encode()
            while (answer := self._post(body)) is None:
                pass
            status, record = answer
            assert status in (200, 201)
            self.acknowledged.append(record["id"])
            posted.release()

    def _post(self, body: bytes) -> tuple[int, Any] | None:
        connection = HTTPConnection(HOST, self._port, timeout=10)
        try:
            connection.request("POST", "/point-record", body, HEADERS)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException, ValueError):
            return None  # killed before it could say so
        finally:
            connection.close()


@pytest.mark.timeout(120 + 5 * ROUNDS)
def test_what_a_killed_server_has_acknowledged_is_stored_once(
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
            server.kill_and_start()
        for burst in bursts:
            burst.result()
    acknowledged = [record_id for phone in phones for record_id in phone.acknowledged]
    assert len(set(acknowledged)) == len(acknowledged) == PHONES * PUNCHES
    assert buffered_ids(dynamodb, table) == set(acknowledged)


def test_of_fifty_identical_calls_at_once_one_creates_the_record(
    server: Server, dynamodb: Any, table: str
) -> None:
    together = threading.Barrier(50)

    def post(_: int) -> int:
        connection = HTTPConnection(HOST, server.port, timeout=20)
        connection.connect()
        together.wait()
        connection.request("POST", "/point-record", json.dumps(PUNCH), HEADERS)
        status = connection.getresponse().status
        connection.close()
        return status

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(post, range(50)))
    assert sorted(statuses) == [200] * 49 + [201]
    assert len(buffered_ids(dynamodb, table)) == 1
