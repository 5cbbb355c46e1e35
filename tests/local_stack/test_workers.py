"""The API served by several processes on one port: they start, serve and end together."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from local.loopback import free_port, is_free
from local.services import start_api
from tests.support.service import environment
from tests.support.waiting import wait_until

WORKERS = 3
VARIABLES = environment(
    dynamodb="http://127.0.0.1:9", table="none", postgres="postgresql://x@127.0.0.1:9/x", legacy=""
)


class Api:
    """The processes of an API.

    Attributes:
        first: the process that binds the port.
        others: the workers that it has started.
    """

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.child, self.url = start_api(home, self.port, VARIABLES, WORKERS)
        self.first = psutil.Process(self.child.pid)
        self.others = self.first.children()

    def get_health(self, _: int = 0) -> object:
        return requests.get(f"{self.url}/health", timeout=10).json()

    def ended(self) -> bool:
        processes = [self.first, *self.others]
        return not any(each.is_running() and each.status() != "zombie" for each in processes)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path)
    yield api
    api.child.stop()
    wait_until(api.ended)


def test_every_process_serves_the_port(api: Api) -> None:
    def cpu_s() -> list[float]:
        return [each.cpu_times().user for each in [api.first, *api.others]]

    assert len(api.others) == WORKERS - 1
    wait_until(lambda: all(len(each.threads()) > 1 for each in api.others))
    started = cpu_s()

    def all_have_served() -> bool:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(api.get_health, range(100))) == [{"status": "ok"}] * 100
        return all(now > before for now, before in zip(cpu_s(), started, strict=True))

    wait_until(all_have_served)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_first_process(api: Api, how: signal.Signals) -> None:
    os.kill(api.first.pid, how)
    wait_until(api.ended)
    wait_until(lambda: is_free(api.port))


def test_first_process_ends_with_a_worker(api: Api) -> None:
    api.others[0].kill()
    wait_until(api.ended)
    assert api.child.exit_reason() == "exit status 1"
    assert "a worker has ended" in api.child.log.read_text()
